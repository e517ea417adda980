# SPDX-License-Identifier: Apache-2.0
# What is installed, and the Debian package: cpack -G DEB, in a build directory whose install prefix is /usr.
include(GNUInstallDirs)
set(package ${CMAKE_SOURCE_DIR}/packaging)

# Compressed files without a time stamp, so that equal sources make equal packages.
function(varve_install_compressed source name destination)
  set(made ${CMAKE_BINARY_DIR}/package/${name}.gz)
  add_custom_command(OUTPUT ${made}
    COMMAND ${CMAKE_COMMAND} -E make_directory ${CMAKE_BINARY_DIR}/package
    COMMAND sh -c "gzip -9nc '${source}' >'${made}'" VERBATIM DEPENDS ${source})
  string(MAKE_C_IDENTIFIER ${name} target)
  add_custom_target(compressed_${target} ALL DEPENDS ${made})
  install(FILES ${made} DESTINATION ${destination})
endfunction()

varve_install_compressed(${CMAKE_SOURCE_DIR}/docs/varve.1 varve.1 share/man/man1)
varve_install_compressed(${package}/deb/changelog changelog share/doc/varve)
install(FILES ${package}/deb/copyright DESTINATION share/doc/varve)
install(FILES ${package}/deb/lintian-overrides DESTINATION share/lintian/overrides RENAME varve)
install(FILES ${package}/varve.bash DESTINATION share/bash-completion/completions RENAME varve)
install(FILES ${package}/varve.socket ${package}/varve.service ${package}/varve-keeper.service
  ${package}/varve-scrub.service ${package}/varve-scrub.timer DESTINATION lib/systemd/system)
install(FILES ${package}/user/varve.socket ${package}/user/varve.service ${package}/user/varve-keeper.service
  DESTINATION lib/systemd/user)
# mount(8) runs these for file systems of type fuse.varve and varve.
foreach(helper mount.fuse.varve mount.varve)
  install(CODE "
    file(MAKE_DIRECTORY \"\$ENV{DESTDIR}\${CMAKE_INSTALL_PREFIX}/sbin\")
    execute_process(COMMAND \${CMAKE_COMMAND} -E create_symlink ../bin/varve
      \"\$ENV{DESTDIR}\${CMAKE_INSTALL_PREFIX}/sbin/${helper}\")
    file(MAKE_DIRECTORY \"\$ENV{DESTDIR}\${CMAKE_INSTALL_PREFIX}/share/man/man8\")
    execute_process(COMMAND \${CMAKE_COMMAND} -E create_symlink ../man1/varve.1.gz
      \"\$ENV{DESTDIR}\${CMAKE_INSTALL_PREFIX}/share/man/man8/${helper}.8.gz\")")
endforeach()

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME varve)
set(CPACK_PACKAGE_VERSION ${PROJECT_VERSION})
set(CPACK_PACKAGE_CONTACT "The Varve maintainers <varve@varve.invalid>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "copy-on-write file systems for containers")
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION admin)
set(CPACK_DEBIAN_PACKAGE_PRIORITY optional)
set(CPACK_DEBIAN_PACKAGE_DEPENDS "init-system-helpers (>= 1.52)")
set(CPACK_DEBIAN_PACKAGE_RECOMMENDS fuse3)
set(CPACK_DEBIAN_PACKAGE_SUGGESTS "docker.io | podman, git, curl")
set(CPACK_DEBIAN_PACKAGE_DESCRIPTION
"Volumes with instant snapshots, clones and rollbacks for Docker, Swarm\nand Podman, through Docker's volume plugin protocol, and for anybody who\ncan mount a directory. Mounts outlive a crash and an upgrade of the daemon.")
if(NOT VARVE_STATIC OR VARVE_SANITIZE OR NOT VARVE_LIBFUSE_PREFIX)
  set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
endif()
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
set(CPACK_DEBIAN_PACKAGE_CONTROL_EXTRA
  ${package}/deb/postinst ${package}/deb/prerm ${package}/deb/postrm)
include(CPack)
