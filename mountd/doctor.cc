// SPDX-License-Identifier: Apache-2.0
#include "mountd/doctor.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>

#include "mountd/http_client.h"
#include "mountd/json.h"
#include "mountd/plugin/volume_plugin.h"
#include "mountd/spawn.h"
#include "mountd/store_location.h"
#include "mountd/unix_socket.h"
#include "store/base/disk.h"
#include "store/base/error.h"
#include "store/store.h"

namespace varve {
namespace {

namespace filesystem = std::filesystem;
using Level = Finding::Level;

/// The findings of one host, one question a method.
class Examination {
 public:
  explicit Examination(const DoctorPlaces& places) : places_(places) {}

  std::vector<Finding> run() {
    kernel();
    device();
    uring();
    ordinary_users();
    store();
    plugin();
    podman();
    return std::move(findings_);
  }

 private:
  void add(Level level, const std::string& what, const std::string& remedy = {}) {
    findings_.push_back({level, what, remedy});
  }
  std::string at(const std::string& path) const { return places_.root + path; }
  bool is_there(const std::string& path) const {
    std::error_code ignored;
    return filesystem::exists(path, ignored);
  }
  static std::string content(const std::string& path) {
    std::ifstream file(path);
    return {std::istreambuf_iterator<char>(file), {}};
  }

  void kernel() {
    int major = 0, minor = 0;
    if (std::sscanf(places_.kernel_release.c_str(), "%d.%d", &major, &minor) != 2)
      return add(Level::kNote, "the kernel calls itself '" + places_.kernel_release + "'",
                 "Varve needs Linux 5.11 or later");
    const auto before = [&](int a, int b) { return major < a || (major == a && minor < b); };
    const std::string what = "Linux " + places_.kernel_release;
    if (before(5, 11))
      add(Level::kProblem, what + " is too old", "use Linux 5.11 or later");
    else if (before(6, 9))
      add(Level::kNote, what + " does not send requests again that a dead daemon left",
          "use Linux 6.9 or later, so that mounts outlive the daemon");
    else
      add(Level::kGood, what);
  }

  void device() {
    const std::string path = at("/dev/fuse");
    if (!is_there(path))
      return add(Level::kProblem, "/dev/fuse is missing",
                 "load the module (modprobe fuse), or give the container --device /dev/fuse");
    if (Descriptor(::open(path.c_str(), O_RDWR | O_CLOEXEC)))
      return add(Level::kGood, "/dev/fuse can be opened");
    add(Level::kProblem, "/dev/fuse cannot be opened: " + errno_text(errno),
        "in a container add --device /dev/fuse and --cap-add SYS_ADMIN; else chmod 666 /dev/fuse");
  }

  void uring() {
    const std::string word = content(at("/sys/module/fuse/parameters/enable_uring")).substr(0, 1);
    if (word == "Y" || word == "1")
      add(Level::kGood, "FUSE over io_uring is on; mounts use it with transport=uring");
    else if (word.empty())
      add(Level::kGood, "this kernel has no FUSE over io_uring; mounts use the plain transport");
    else
      add(Level::kGood,
          "FUSE over io_uring is off ('echo Y > /sys/module/fuse/parameters/enable_uring' "
          "allows transport=uring)");
  }

  void ordinary_users() {
    if (places_.is_root) return;
    if (places_.fusermount.empty())
      add(Level::kProblem, "fusermount3 is not installed, and you are not root",
          "install the package fuse3");
    std::istringstream lines(content(at("/etc/fuse.conf")));
    for (std::string line; std::getline(lines, line);)
      if (line == "user_allow_other")
        return add(Level::kGood, "/etc/fuse.conf has user_allow_other");
    add(Level::kNote, "other users and containers cannot enter your mounts",
        "put the line user_allow_other into /etc/fuse.conf");
  }

  struct Answer {
    bool somebody_listens = false;
    bool is_good = false;
    std::string why;  ///< it is not good
  };

  /// A connection alone says little: a service manager takes it for a daemon that may not start.
  Answer ask(const std::string& socket, std::string_view method, std::string_view target) const {
    Answer out;
    try {
      std::optional<HttpClient> client = HttpClient::connect(socket);
      if (!client) return out;
      out.somebody_listens = true;
      client->timeout_ms = places_.answer_wait_ms;
      const HttpReply reply = client->call(method, target);
      out.is_good = reply.status == 200;
      const Json body = Json::parse(reply.body, nullptr, false);
      if (!out.is_good)
        out.why = body.is_object() ? body.value("error", body.value("Err", "it refuses"))
                                   : "it answers with status " + std::to_string(reply.status);
    } catch (const std::exception& error) {
      out.somebody_listens = true;
      out.why = error.what();
    }
    return out;
  }

  void store() {
    if (!Store::exists(Disk::host(), places_.store))
      return add(Level::kNote, "there is no store at " + places_.store,
                 "'varve init' makes one; --store or VARVE_STORE names another");
    const Answer answer = ask(control_socket_path(places_.store), "GET", "/v1/version");
    if (answer.is_good)
      add(Level::kGood, "a daemon serves store " + places_.store);
    else if (answer.somebody_listens)
      add(Level::kProblem,
          "the daemon of store " + places_.store + " does not serve: " + answer.why,
          "see its log (" + daemon_log_path(places_.store) +
              ", or journalctl -u varve), then systemctl restart varve");
    else
      add(Level::kNote, "no daemon serves store " + places_.store,
          "'varve mount' starts one; for containers: varve daemon run --plugin, or systemctl "
          "start varve.socket");
  }

  /// The engine is there when its socket is.
  bool has_docker() const { return is_there(at("/run/docker.sock")); }

  void plugin() {
    if (!places_.is_root) return;
    const std::string socket = at(kDefaultPluginSocket);
    const Level missing = has_docker() ? Level::kProblem : Level::kNote;
    const Answer answer = ask(socket, "POST", "/Plugin.Activate");
    if (answer.is_good)
      return add(Level::kGood, std::string("the volume plugin answers on ") + kDefaultPluginSocket);
    if (answer.somebody_listens)
      return add(Level::kProblem,
                 std::string("the volume plugin on ") + kDefaultPluginSocket +
                     " does not serve: " + answer.why,
                 "see the daemon's log (" + daemon_log_path(places_.store) +
                     ", or journalctl -u varve), then systemctl restart varve");
    if (is_there(socket))
      return add(Level::kProblem,
                 std::string(kDefaultPluginSocket) + " is there, but nobody answers",
                 "start the daemon (systemctl start varve); it replaces the socket");
    add(missing, std::string("the volume plugin does not run: there is no ") + kDefaultPluginSocket,
        "start the daemon before Docker: systemctl enable --now varve.socket varve, or varve "
        "daemon run --plugin");
  }

  /// The files in which Podman looks for plugins.
  std::vector<std::string> podman_files() const {
    std::vector<std::string> files{at("/etc/containers/containers.conf")};
    std::vector<std::string> directories{at("/etc/containers/containers.conf.d")};
    if (!places_.home.empty()) {
      files.push_back(places_.home + "/.config/containers/containers.conf");
      directories.push_back(places_.home + "/.config/containers/containers.conf.d");
    }
    std::error_code ignored;
    for (const std::string& directory : directories)
      for (const auto& entry : filesystem::directory_iterator(directory, ignored))
        files.push_back(entry.path().string());
    return files;
  }

  void podman() {
    if (!is_there(at("/usr/bin/podman"))) return;
    for (const std::string& file : podman_files())
      if (content(file).find("varve") != std::string::npos)
        return add(Level::kGood, "Podman knows the plugin (" + file + ")");
    add(Level::kNote, "Podman does not know the plugin",
        std::string("write '[engine.volume_plugins]' and 'varve = \"") + kDefaultPluginSocket +
            "\"' into /etc/containers/containers.conf.d/varve.conf");
  }

  const DoctorPlaces& places_;
  std::vector<Finding> findings_;
};

}  // namespace

DoctorPlaces this_host(const std::string& store) {
  utsname names{};
  ::uname(&names);
  const char* home = std::getenv("HOME");
  DoctorPlaces places;
  places.kernel_release = names.release;
  places.is_root = ::geteuid() == 0;
  places.store = store;
  places.home = home == nullptr ? "" : home;
  places.fusermount = find_program("fusermount3");
  return places;
}

std::vector<Finding> examine_host(const DoctorPlaces& places) { return Examination(places).run(); }

}  // namespace varve
