// SPDX-License-Identifier: Apache-2.0
#include "mountd/service_manager.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <thread>

#include "mountd/http_client.h"
#include "mountd/json.h"
#include "mountd/service_failure.h"
#include "tests/support/temp_directory.h"

namespace varve {
namespace {

/// As a service manager does; listen_unix() reaches its path through /proc.
Descriptor listen_at(const std::string& path) {
  Descriptor listener(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{AF_UNIX, {}};
  EXPECT_LT(path.size(), sizeof address.sun_path);
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  EXPECT_EQ(::bind(listener.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  EXPECT_EQ(::listen(listener.get(), 8), 0);
  return listener;
}

/// A process that has 3 and 4 as a service manager passes them; exits with 0 if `check` is true of
/// it.
void pass_two(const std::string& path, const std::string& names,
              bool (*check)(ServiceManager& manager, const std::string& path)) {
  const Descriptor listener = listen_at(path);
  const Descriptor copy(::fcntl(listener.get(), F_DUPFD, 10));
  ::close_range(3, 4, 0);
  ::dup2(copy.get(), 3);
  const Descriptor file(::open("/dev/null", O_RDONLY));
  ::dup2(file.get(), 4);
  ::setenv("LISTEN_PID", std::to_string(::getpid()).c_str(), 1);
  ::setenv("LISTEN_FDS", "2", 1);
  ::setenv("LISTEN_FDNAMES", names.c_str(), 1);
  ServiceManager manager = ServiceManager::of_environment();
  std::_Exit(check(manager, path) ? 0 : 1);
}

TEST(ServiceManager, TakesWhatWasPassedAndTheVariables) {
  const test::TempDirectory directory;
  EXPECT_EXIT(pass_two(directory.path() + "/socket", "control.socket:stored",
                       [](ServiceManager& manager, const std::string&) {
                         const auto passed = manager.take_passed();
                         return passed.size() == 2 && passed[0].name == "control.socket" &&
                                passed[1].name == "stored" && passed[0].descriptor.get() == 3 &&
                                ::fcntl(4, F_GETFD) == FD_CLOEXEC &&
                                manager.take_passed().empty() &&
                                std::getenv("LISTEN_FDS") == nullptr;
                       }),
              testing::ExitedWithCode(0), "");
}

TEST(ServiceManager, SocketsAreKnownByTheirFile) {
  const test::TempDirectory directory;
  EXPECT_EXIT(pass_two(directory.path() + "/socket", "a:b",
                       [](ServiceManager& manager, const std::string& path) {
                         PassedSockets sockets(manager.take_passed());  // 4 is no socket
                         const bool knows = sockets.has(path) && !sockets.has(path + "x") &&
                                            sockets.not_among({path}).empty() &&
                                            sockets.not_among({}).size() == 1;
                         return knows && sockets.take(path + "x") == -1 &&
                                sockets.take(path) == 3 && sockets.empty();
                       }),
              testing::ExitedWithCode(0), "");
}

TEST(ServiceManager, LeavesAloneWhatIsForAnotherProcess) {
  ::setenv("LISTEN_PID", "1", 1);
  ::setenv("LISTEN_FDS", "2", 1);
  ServiceManager manager = ServiceManager::of_environment();
  EXPECT_TRUE(manager.take_passed().empty());
  EXPECT_EQ(std::getenv("LISTEN_PID"), nullptr);
  EXPECT_FALSE(manager.listens());
  manager.tell("READY=1");  // nobody is told
}

/// Where a service manager would listen, in the file system or in the abstract namespace.
class NotifySocket {
 public:
  explicit NotifySocket(const std::string& path) : socket_(::socket(AF_UNIX, SOCK_DGRAM, 0)) {
    sockaddr_un address{AF_UNIX, {}};
    std::memcpy(address.sun_path, path.data(), path.size());
    if (path[0] == '@') address.sun_path[0] = '\0';
    const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size());
    EXPECT_EQ(::bind(socket_.get(), reinterpret_cast<sockaddr*>(&address), size), 0);
    ::setenv("NOTIFY_SOCKET", path.c_str(), 1);
  }
  /// "TEXT N": with N descriptors.
  std::string next() {
    char text[256];
    alignas(cmsghdr) char control[256];
    iovec part{text, sizeof text};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    const ssize_t count = ::recvmsg(socket_.get(), &message, MSG_DONTWAIT);
    if (count < 0) return "nothing";
    const cmsghdr* header = CMSG_FIRSTHDR(&message);
    const std::size_t descriptors =
        header == nullptr ? 0 : (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (std::size_t i = 0; i < descriptors; ++i) {
      int descriptor = -1;
      std::memcpy(&descriptor, CMSG_DATA(header) + i * sizeof(int), sizeof(int));
      ::close(descriptor);
    }
    return std::string(text, static_cast<std::size_t>(count)) + " " + std::to_string(descriptors);
  }

 private:
  const Descriptor socket_;
};

TEST(ServiceManager, TellsWithDescriptors) {
  const test::TempDirectory directory;
  for (const std::string& path :
       {directory.path() + "/notify", "@varve-test-" + std::to_string(::getpid())}) {
    SCOPED_TRACE(path);
    NotifySocket socket(path);
    const ServiceManager manager = ServiceManager::of_environment();
    EXPECT_TRUE(manager.listens());
    EXPECT_EQ(std::getenv("NOTIFY_SOCKET"), nullptr);
    manager.tell("READY=1");
    manager.tell("FDSTORE=1\nFDNAME=mount-1", {STDIN_FILENO, STDOUT_FILENO});
    EXPECT_EQ(socket.next(), "READY=1 0");
    EXPECT_EQ(socket.next(), "FDSTORE=1\nFDNAME=mount-1 2");
    EXPECT_EQ(socket.next(), "nothing");
  }
}

TEST(ServiceManager, WhoWaitsIsToldWhyADaemonCannotBegin) {
  const test::TempDirectory directory;
  const std::string path = directory.path() + "/socket";
  std::vector<PassedDescriptor> passed;
  passed.push_back({"socket", listen_at(path)});
  PassedSockets sockets(std::move(passed));
  std::thread client([&] {
    const HttpReply reply = HttpClient::connect(path).value().call("GET", "/v1/version");
    EXPECT_EQ(reply.status, 500);
    const Json body = Json::parse(reply.body);
    EXPECT_EQ(body["error"], "the disk is on fire");
    EXPECT_EQ(body["Err"], "the disk is on fire");
    EXPECT_EQ(body["errno"], EIO);
  });
  answer_with_failure(sockets, EIO, "the disk is on fire");
  client.join();
  EXPECT_EQ(::access(path.c_str(), F_OK), 0);  // it is the service manager's
}

}  // namespace
}  // namespace varve
