// SPDX-License-Identifier: Apache-2.0
#include "mountd/service_failure.h"

#include <chrono>
#include <thread>
#include <vector>

#include "mountd/control_error.h"
#include "mountd/http_server.h"
#include "mountd/json.h"
#include "store/base/log.h"

namespace varve {
namespace {

/// Also the pause between two attempts of a service that is started again and again.
constexpr std::chrono::seconds kAnswerTime{1};

HttpReply failure_reply(int code, const std::string& sentence) {
  const Json body = {
      {"error", sentence}, {"code", error_word(code)}, {"errno", code}, {"Err", sentence}};
  // Engines take nothing but 500 for a failure of the call.
  return {500, "application/json", body.dump(-1, ' ', false, Json::error_handler_t::replace)};
}

}  // namespace

void answer_with_failure(PassedSockets& passed, int code, const std::string& sentence) {
  std::vector<HttpEndpoint> endpoints;
  for (const std::string& path : passed.not_among({})) {
    HttpEndpoint& endpoint = endpoints.emplace_back();
    endpoint.socket_path = path;
    endpoint.handler = [=](const HttpRequest&) { return failure_reply(code, sentence); };
    endpoint.listener = passed.take(path);
  }
  if (endpoints.empty()) return;
  try {
    HttpServer server(std::move(endpoints));
    std::this_thread::sleep_for(kAnswerTime);
    server.stop();
  } catch (const std::exception& error) {
    log_warn("daemon", std::string("nobody is told of the failure: ") + error.what());
  }
}

}  // namespace varve
