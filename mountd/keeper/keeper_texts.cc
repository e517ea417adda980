// SPDX-License-Identifier: Apache-2.0
#include "mountd/keeper/keeper_texts.h"

#include <cerrno>
#include <ctime>

#include "mountd/json.h"
#include "store/base/error.h"

namespace varve {
namespace {

std::string hex(const Bytes& bytes) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string out;
  for (const std::byte byte : bytes) {
    out += kDigits[std::to_integer<unsigned>(byte) >> 4];
    out += kDigits[std::to_integer<unsigned>(byte) & 15];
  }
  return out;
}

unsigned digit(char c) {
  if (c >= '0' && c <= '9') return static_cast<unsigned>(c - '0');
  if (c >= 'a' && c <= 'f') return static_cast<unsigned>(c - 'a' + 10);
  throw StoreError(EPROTO, "bytes in a text of the keeper's protocol are no hexadecimal digits");
}

Bytes bytes_of(const std::string& text) {
  if (text.size() % 2 != 0)
    throw StoreError(EPROTO, "bytes in a text of the keeper's protocol have an odd length");
  Bytes out;
  for (std::size_t i = 0; i < text.size(); i += 2)
    out.push_back(static_cast<std::byte>(digit(text[i]) << 4 | digit(text[i + 1])));
  return out;
}

std::string dump(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

/// Runs `read` on the parsed text.
template <class Read>
auto parsed(const std::string& text, const Read& read) {
  try {
    return read(Json::parse(text));
  } catch (const Json::exception& error) {
    throw StoreError(
        EPROTO, std::string("a text of the keeper's protocol is not understood: ") + error.what());
  }
}

}  // namespace

std::string KeeperHello::text() const {
  return dump({{"store", store},
               {"arguments", arguments},
               {"takeovers", takeovers},
               {"always", always},
               {"serving", serving}});
}

KeeperHello KeeperHello::parse(const std::string& text) {
  return parsed(text, [](const Json& json) {
    KeeperHello out;
    json.at("store").get_to(out.store);
    json.at("arguments").get_to(out.arguments);
    json.at("takeovers").get_to(out.takeovers);
    json.at("always").get_to(out.always);
    out.serving = json.value("serving", false);
    return out;
  });
}

std::int64_t keeper_clock_ns() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1'000'000'000 + now.tv_nsec;
}

std::string KeeperWelcome::text() const {
  return dump({{"pid", pid},
               {"takeovers", takeovers},
               {"since_ns", since_ns},
               {"upgrade", upgrade},
               {"failure", failure}});
}

KeeperWelcome KeeperWelcome::parse(const std::string& text) {
  return parsed(text, [](const Json& json) {
    KeeperWelcome out;
    json.at("pid").get_to(out.pid);
    json.at("takeovers").get_to(out.takeovers);
    json.at("since_ns").get_to(out.since_ns);
    json.at("upgrade").get_to(out.upgrade);
    json.at("failure").get_to(out.failure);
    return out;
  });
}

std::string KeptMount::text() const {
  return dump({{"target", target},
               {"mount_point", hex({as_bytes(mount_point).begin(), as_bytes(mount_point).end()})},
               {"options", options},
               {"read_only", read_only},
               {"detached", detached},
               {"mounted_ns", mounted_ns},
               {"volume_id", volume_id},
               {"since_lsn", since_lsn},
               {"device", device},
               {"init_request", hex(agreement.request)},
               {"init_reply", hex(agreement.reply)}});
}

KeptMount KeptMount::parse(const std::string& text) {
  return parsed(text, [](const Json& json) {
    KeptMount out;
    json.at("target").get_to(out.target);
    const Bytes path = bytes_of(json.at("mount_point").get<std::string>());
    out.mount_point = std::string(as_text(path));  // a path may be no UTF-8
    json.at("options").get_to(out.options);
    json.at("read_only").get_to(out.read_only);
    json.at("detached").get_to(out.detached);
    json.at("mounted_ns").get_to(out.mounted_ns);
    json.at("volume_id").get_to(out.volume_id);
    json.at("since_lsn").get_to(out.since_lsn);
    json.at("device").get_to(out.device);
    out.agreement.request = bytes_of(json.at("init_request").get<std::string>());
    out.agreement.reply = bytes_of(json.at("init_reply").get<std::string>());
    return out;
  });
}

}  // namespace varve
