// SPDX-License-Identifier: Apache-2.0
#include "mountd/cli/volume_source.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>

#include "mountd/cli/command.h"
#include "mountd/spawn.h"
#include "store/base/error.h"

namespace varve::cli {
namespace {

using Kind = VolumeSource::Kind;

bool has_file_name(std::string_view url) {
  const std::size_t end = std::min(url.find('?'), url.find('#'));
  const std::string_view path = url.substr(0, end);
  const std::size_t host = path.find("://") + 3;
  const std::size_t slash = path.rfind('/');
  return slash != std::string_view::npos && slash >= host && slash + 1 < path.size();
}

Kind kind_of_url(const std::string& url) {
  const bool http = url.starts_with("http://") || url.starts_with("https://");
  if (url.starts_with("git://") || url.starts_with("ssh://")) return Kind::kGit;
  if (!http)
    throw UsageError(url +
                     " is of no known kind; a source is a directory, a file, git://, ssh:// or "
                     "http(s)://");
  if (url.ends_with(".git")) return Kind::kGit;
  if (!has_file_name(url)) throw UsageError(url + " names no file to download");
  return Kind::kDownload;
}

Kind kind_of_path(const std::string& path) {
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0)
    throw UserError(errno, "the source " + path + " cannot be read: " + errno_text(errno));
  if (S_ISDIR(status.st_mode)) return Kind::kDirectory;
  if (S_ISREG(status.st_mode)) return Kind::kFile;
  throw UsageError("the source " + path + " is neither a directory nor a file");
}

}  // namespace

VolumeSource VolumeSource::parse(std::string_view text) {
  const std::size_t colon = text.rfind(':');
  // The colon of "https://host" parts no volume off.
  if (colon == std::string_view::npos || colon == 0 || text.substr(colon).starts_with("://") ||
      text.substr(colon + 1).find('/') != std::string_view::npos)
    throw UsageError(std::string(text) + " is not of the form SOURCE:VOLUME");
  VolumeSource out;
  out.source = text.substr(0, colon);
  out.volume = text.substr(colon + 1);
  if (out.volume.empty()) throw UsageError(std::string(text) + " names no volume");
  out.kind = out.source.find("://") != std::string::npos ? kind_of_url(out.source)
                                                         : kind_of_path(out.source);
  const std::string program = out.fetch_words("/", false).front();
  if (find_program(program).empty())
    throw UserError(ENOTSUP, "the program '" + program + "', which fetches " + out.source +
                                 ", is not installed");
  return out;
}

std::vector<std::string> VolumeSource::fetch_words(const std::string& directory,
                                                   bool progress) const {
  switch (kind) {
    case Kind::kDirectory:
      return {"cp", "-a", "--", source + "/.", directory};
    case Kind::kFile:
      return {"cp", "-a", "--", source, directory};
    case Kind::kGit:
      return {"git", "clone", progress ? "--progress" : "--quiet", "--", source, directory};
    case Kind::kDownload:
      return {"curl",
              "--fail",
              "--location",
              "--globoff",
              progress ? "--progress-bar" : "--no-progress-meter",
              "--proto",
              "=http,https",
              "--remote-name",
              "--output-dir",
              directory,
              "--",
              source};
  }
  std::abort();
}

}  // namespace varve::cli
