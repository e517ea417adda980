// SPDX-License-Identifier: Apache-2.0
#include "snapshot/names.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <string>

#include "store/base/error.h"

namespace varve {
namespace {

TEST(Names, AcceptsWhatAContainerEngineAccepts) {
  for (const std::string& name : {std::string("a"), std::string("0"), std::string("A.b_c-9"),
                                  std::string(kMaxObjectNameBytes, 'x')}) {
    EXPECT_NO_THROW(validate_name(NameOf::kVolume, name));
    EXPECT_NO_THROW(validate_name(NameOf::kSnapshot, name));
  }
}

TEST(Names, SayWhatIsWrong) {
  const auto text_of = [](NameOf what, const std::string& name) {
    try {
      validate_name(what, name);
    } catch (const UserError& error) {
      EXPECT_EQ(error.code(), EINVAL);
      return std::string(error.what());
    }
    return std::string("accepted");
  };
  EXPECT_EQ(text_of(NameOf::kVolume, ""), "The volume name is empty. Give a name");
  EXPECT_EQ(text_of(NameOf::kSnapshot, "a/b"),
            "The snapshot name \"a/b\" is not valid. Use letters, digits, '_', '.' and '-', and "
            "begin with a letter or a digit");
  EXPECT_NE(text_of(NameOf::kVolume, std::string(256, 'x')).find("too long"), std::string::npos);
  EXPECT_NE(text_of(NameOf::kVolume, ".hidden").find("not valid"), std::string::npos);
  // Nothing that a terminal obeys comes back.
  EXPECT_EQ(text_of(NameOf::kVolume, "\x1b[2J").find('\x1b'), std::string::npos);
}

}  // namespace
}  // namespace varve
