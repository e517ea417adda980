// SPDX-License-Identifier: Apache-2.0
#include "mountd/plugin/volume_options.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <string_view>

#include "mountd/size_text.h"
#include "store/base/error.h"

namespace varve {
namespace {

constexpr std::uint64_t kMaxIops = 256'000;

[[noreturn]] void refuse(std::string_view name, const std::string& value, const std::string& why) {
  throw UserError(EINVAL,
                  "volume option " + std::string(name) + "=" + value.substr(0, 200) + ": " + why);
}

[[noreturn]] void conflict(const std::string& sentence) {
  throw UserError(EINVAL, "volume options: " + sentence);
}

/// Where the words of one request come together.
struct Parsing {
  VolumeOptions options;
  std::optional<std::string> profile_from;  ///< the word that chose the profile
};

bool parse_flag(std::string_view name, const std::string& value) {
  for (const char* yes : {"", "true", "1", "yes", "on"})
    if (value == yes) return true;
  for (const char* no : {"false", "0", "no", "off"})
    if (value == no) return false;
  refuse(name, value, "write true or false");
}

std::uint64_t parse_number(std::string_view name, const std::string& value, std::uint64_t max,
                           int base) {
  std::uint64_t number = 0;
  const auto result = std::from_chars(value.data(), value.data() + value.size(), number, base);
  if (value.empty() || result.ec != std::errc{} || result.ptr != value.data() + value.size() ||
      number > max)
    refuse(name, value,
           base == 8 ? "write an octal number up to 7777"
                     : "write a whole number up to " + std::to_string(max));
  return number;
}

std::uint32_t parse_id(std::string_view name, const std::string& value) {
  return static_cast<std::uint32_t>(parse_number(name, value, 0xfffffffe, 10));
}

std::string octal(std::uint32_t mode) {
  std::array<char, 8> text{};
  const auto end = std::to_chars(text.data(), text.data() + text.size(), mode, 8).ptr;
  return {text.data(), end};
}

void choose_profile(Parsing& parsing, const std::string& word, Profile profile) {
  if (parsing.profile_from && parsing.options.profile != profile)
    conflict(*parsing.profile_from + " and " + word + " mean different profiles; give one");
  parsing.profile_from = word;
  parsing.options.profile = profile;
  parsing.options.words["profile"] = profile_word(profile);
}

using Apply = void (*)(Parsing&, const std::string& value);

void apply_size(Parsing& parsing, const std::string& value) {
  parsing.options.size_bytes = parse_size(value);
  parsing.options.words["size"] = std::to_string(*parsing.options.size_bytes);
}

void apply_source(Parsing& parsing, const std::string& value) {
  if (value.empty()) refuse("from", value, "name a snapshot, such as golden@v1, or a volume");
  parsing.options.source = value;
  parsing.options.words["from"] = value;
}

void apply_backing(Parsing& parsing, const std::string& value) {
  if (value != "local" && value != "relocatable" && value != "shared")
    refuse("backing", value, "choose local, relocatable (one container at a time) or shared");
  parsing.options.exclusive = value != "shared";
  parsing.options.words["backing"] = value;
}

void apply_profile(Parsing& parsing, const std::string& value) {
  if (const auto profile = parse_profile(value))
    return choose_profile(parsing, "profile=" + value, *profile);
  refuse("profile", value, "choose general, database or archive");
}

/// Names of Amazon's block storage, by what they are for.
void apply_ebstype(Parsing& parsing, const std::string& value) {
  struct Type {
    const char* name;
    Profile profile;
  };
  static constexpr std::array kTypes{
      Type{"standard", Profile::kGeneral}, Type{"gp2", Profile::kGeneral},
      Type{"gp3", Profile::kGeneral},      Type{"io1", Profile::kDatabase},
      Type{"io2", Profile::kDatabase},     Type{"st1", Profile::kArchive},
      Type{"sc1", Profile::kArchive}};
  for (const Type& type : kTypes)
    if (value == type.name) return choose_profile(parsing, "ebstype=" + value, type.profile);
  refuse("ebstype", value, "choose standard, gp2, gp3, io1, io2, st1 or sc1, or give profile=");
}

void apply_iops(Parsing& parsing, const std::string& value) {
  parsing.options.words["iops"] = std::to_string(parse_number("iops", value, kMaxIops, 10));
}

void apply_perfmode(Parsing& parsing, const std::string& value) {
  if (value != "generalPurpose" && value != "maxio" && value != "maxIO")
    refuse("perfmode", value, "choose generalPurpose or maxio");
  choose_profile(parsing, "perfmode=" + value, Profile::kGeneral);
}

void apply_mode(Parsing& parsing, const std::string& value) {
  const auto mode = static_cast<std::uint32_t>(parse_number("mode", value, 07777, 8));
  parsing.options.mode = mode;
  parsing.options.words["mode"] = octal(mode);
}
void apply_uid(Parsing& parsing, const std::string& value) {
  parsing.options.uid = parse_id("uid", value);
  parsing.options.words["uid"] = std::to_string(*parsing.options.uid);
}
void apply_gid(Parsing& parsing, const std::string& value) {
  parsing.options.gid = parse_id("gid", value);
  parsing.options.words["gid"] = std::to_string(*parsing.options.gid);
}
void apply_uidmap(Parsing& parsing, const std::string& value) {
  parsing.options.ids.users = IdMap::parse(value);
  parsing.options.words["uidmap"] = parsing.options.ids.users.text();
}
void apply_gidmap(Parsing& parsing, const std::string& value) {
  parsing.options.ids.groups = IdMap::parse(value);
  parsing.options.words["gidmap"] = parsing.options.ids.groups.text();
}
void apply_squash(Parsing& parsing, const std::string& value) {
  parsing.options.ids.squash = parse_squash(value);
  parsing.options.words["squash"] = value;
}

/// The field and its word, if the flag is set.
template <bool VolumeOptions::*Field>
void apply_flag(Parsing& parsing, const char* name, const std::string& value) {
  parsing.options.*Field = parse_flag(name, value);
  if (parsing.options.*Field) parsing.options.words[name] = "true";
}
void apply_protect(Parsing& parsing, const std::string& value) {
  apply_flag<&VolumeOptions::protect>(parsing, "protect", value);
}
void apply_ephemeral(Parsing& parsing, const std::string& value) {
  apply_flag<&VolumeOptions::ephemeral>(parsing, "ephemeral", value);
}
void apply_readonly(Parsing& parsing, const std::string& value) {
  apply_flag<&VolumeOptions::read_only>(parsing, "readonly", value);
}

void apply_snapshot_on(Parsing& parsing, const std::string& value) {
  std::string_view rest = value;
  while (!rest.empty()) {
    const std::string_view word = rest.substr(0, rest.find_first_of(",+"));
    rest.remove_prefix(std::min(word.size() + 1, rest.size()));
    if (word == "unmount") {
      parsing.options.snapshot_on_unmount = true;
    } else if (word == "remove") {
      parsing.options.snapshot_on_remove = true;
    } else if (word != "none") {
      refuse("snapshot-on", value, "choose unmount, remove, both joined by ',' or '+', or none");
    }
  }
  std::string words = parsing.options.snapshot_on_unmount ? "unmount" : "";
  if (parsing.options.snapshot_on_remove) words += words.empty() ? "remove" : "+remove";
  parsing.options.words["snapshot-on"] = words.empty() ? "none" : words;
}

struct Word {
  const char* name;
  Apply apply;
  bool kept;  ///< as a label
};

constexpr std::array kWords{
    Word{"size", apply_size, false},        Word{"from", apply_source, false},
    Word{"snapshot", apply_source, false},  Word{"backing", apply_backing, true},
    Word{"profile", apply_profile, true},   Word{"ebstype", apply_ebstype, false},
    Word{"iops", apply_iops, true},         Word{"perfmode", apply_perfmode, false},
    Word{"mode", apply_mode, true},         Word{"uid", apply_uid, true},
    Word{"gid", apply_gid, true},           Word{"uidmap", apply_uidmap, true},
    Word{"gidmap", apply_gidmap, true},     Word{"squash", apply_squash, true},
    Word{"protect", apply_protect, false},  Word{"ephemeral", apply_ephemeral, true},
    Word{"readonly", apply_readonly, true}, Word{"snapshot-on", apply_snapshot_on, true},
};

const Word* find_word(std::string_view name) {
  const auto found = std::find_if(kWords.begin(), kWords.end(),
                                  [&](const Word& word) { return name == word.name; });
  return found == kWords.end() ? nullptr : &*found;
}

std::string known_words() {
  std::string text;
  for (const Word& word : kWords) text += std::string(word.name) + ", ";
  return text + "label.NAME";
}

void apply_label(Parsing& parsing, const std::string& name, const std::string& value) {
  const std::string key = name.substr(std::string_view("label.").size());
  if (key.empty()) conflict("label. needs a name; write label.NAME=VALUE");
  if (key == "container" || key == "size" || key == "snapshot" || is_option_label(key))
    conflict("label '" + key + "' is reserved; choose another name");
  parsing.options.labels[key] = value;
}

void check_together(const OptionWords& given, const VolumeOptions& options) {
  const auto has = [&](const char* name) { return given.count(name) != 0; };
  const auto value = [&](const char* name) { return has(name) ? given.at(name) : std::string{}; };
  if (has("from") && has("snapshot") && value("from") != value("snapshot"))
    conflict("from and snapshot name two sources; give one");
  if (has("iops") && value("ebstype").substr(0, 2) != "io")
    conflict("iops is for ebstype=io1 or io2 only; leave it out, or give profile=database");
  if (value("ebstype") == "io1" && !has("iops")) conflict("ebstype=io1 needs iops=NUMBER");
  if (has("perfmode") && value("backing") != "shared")
    conflict("perfmode is for backing=shared only");
  if (has("ebstype") && value("backing") == "shared")
    conflict("ebstype is for backing=local or relocatable, not shared");
  if (options.ids.squash && (!options.ids.users.empty() || !options.ids.groups.empty()))
    conflict("squash shows one owner for all files; leave out uidmap and gidmap");
  if (options.ephemeral && (options.snapshot_on_unmount || options.snapshot_on_remove))
    conflict("an ephemeral volume keeps nothing; leave out snapshot-on");
  if (options.ephemeral && options.read_only)
    conflict("an ephemeral volume that is readonly holds nothing of its own; give one of them");
  if (options.read_only && options.snapshot_on_unmount)
    conflict("nothing changes in a readonly volume; leave out snapshot-on=unmount");
}

}  // namespace

bool is_option_label(const std::string& key) {
  return key.compare(0, std::string_view(kOptionLabelPrefix).size(), kOptionLabelPrefix) == 0;
}

VolumeOptions parse_volume_options(const OptionWords& given) {
  Parsing parsing;
  for (const auto& [name, value] : given) {
    if (name.compare(0, 6, "label.") == 0) {
      apply_label(parsing, name, value);
      continue;
    }
    const Word* word = find_word(name);
    if (word == nullptr)
      throw UserError(EINVAL, "volume option '" + name.substr(0, 200) + "' is unknown; there are " +
                                  known_words());
    word->apply(parsing, value);
  }
  check_together(given, parsing.options);
  return parsing.options;
}

std::map<std::string, std::string> option_labels(const VolumeOptions& options) {
  std::map<std::string, std::string> labels;
  for (const auto& [name, value] : options.words)
    if (const Word* word = find_word(name); word != nullptr && word->kept)
      labels[kOptionLabelPrefix + name] = value;
  return labels;
}

OptionWords kept_words(const std::map<std::string, std::string>& labels) {
  OptionWords words;
  for (const auto& [key, value] : labels)
    if (is_option_label(key))
      words[key.substr(std::string_view(kOptionLabelPrefix).size())] = value;
  return words;
}

std::map<std::string, std::string> with_options(std::map<std::string, std::string> labels,
                                                const OptionWords& given) {
  static constexpr std::array<std::string_view, 7> kChangeable{
      "backing", "profile", "uidmap", "gidmap", "squash", "readonly", "snapshot-on"};
  OptionWords words = kept_words(labels);
  words.erase("iops");  // says nothing without the word that it came with
  for (const auto& [name, value] : given) {
    if (find_word(name) != nullptr &&
        std::find(kChangeable.begin(), kChangeable.end(), name) == kChangeable.end())
      throw UserError(EINVAL, "volume option " + name +
                                  " is for new volumes; make another volume with it, or see "
                                  "'varve volume set --help'");
    const bool may_go = name == "uidmap" || name == "gidmap" || name == "squash";
    if (may_go && value.empty())
      words.erase(name);
    else
      words[name] = value;
  }
  const auto changed = option_labels(parse_volume_options(words));
  for (const std::string_view name : kChangeable)
    labels.erase(kOptionLabelPrefix + std::string(name));
  labels.insert(changed.begin(), changed.end());
  return labels;
}

VolumeOptions kept_options(const std::map<std::string, std::string>& labels) {
  Parsing parsing;
  for (const auto& [name, value] : kept_words(labels)) {
    const Word* word = find_word(name);
    if (word == nullptr || !word->kept) continue;
    word->apply(parsing, value);
  }
  return parsing.options;
}

}  // namespace varve
