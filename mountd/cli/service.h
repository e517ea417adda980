// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "mountd/json.h"
#include "mountd/cli/command.h"
#include "mountd/http_client.h"

namespace varve::cli {

/// What a command does when there is no store.
enum class Absent { kCreate, kFail };

/// The control API of the store that the command line names: through its daemon when one runs, else
/// in this process, with the store opened for as long as the object lives. For one thread.
class Service {
 public:
  explicit Service(const Invocation& invocation, Absent absent = Absent::kCreate);
  /// Closes a store that was opened here.
  ~Service();
  Service(const Service&) = delete;
  Service& operator=(const Service&) = delete;

  /// Sends the request; what the store refuses comes back as UserError with its sentence.
  Json call(std::string_view method, const std::string& target, const Json& body = nullptr);

  /// Connects to the daemon; false if none runs. Waits for one that a keeper starts. Where a
  /// service manager listens this starts the daemon.
  bool connect();
  /// Connects to the daemon if it runs already; starts none, not even through a service manager.
  bool connect_to_running();
  /// Connects to the daemon, starting one if none runs. Requests go to a daemon from here on, to
  /// another one if this one dies. `more_words` are further options of `daemon run` for the first.
  void require_daemon(unsigned idle_exit_seconds, const std::vector<std::string>& more_words = {});
  /// Asks the daemon that runs; none if none does, or if it died under the request.
  std::optional<Json> ask_daemon(const std::string& target);

  const std::string& store() const { return store_; }

 private:
  class Local;
  void open_somehow();

  const std::string store_;
  const bool is_default_;
  const Absent absent_;
  std::optional<HttpClient> daemon_;
  std::optional<unsigned> idle_exit_seconds_;  ///< set: a daemon is required
  std::unique_ptr<Local> local_;
};

}  // namespace varve::cli
