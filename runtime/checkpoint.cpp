#include "runtime/checkpoint.h"

#include <xxhash.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "runtime/atomic_file.h"
#include "runtime/safetensors.h"

namespace mezzo::runtime {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

constexpr const char *kRecord = "mezzo", *kRecordHash = "mezzo.hash", *kPrefix = "step-",
                     *kSuffix = ".safetensors";
constexpr int kFormat = 1;

std::string hash_of(const void* data, size_t bytes, uint64_t seed = 0) {
  const XXH128_hash_t h = XXH3_128bits_withSeed(data, bytes, seed);
  char text[33];
  std::snprintf(text, sizeof text, "%016llx%016llx", static_cast<unsigned long long>(h.high64),
                static_cast<unsigned long long>(h.low64));
  return text;
}

// Of the elements and the type.
std::string hash_of(const ir::Tensor& t) {
  const std::string type = ir::to_string(t.type());
  return hash_of(t.data(), static_cast<size_t>(t.bytes()), XXH3_64bits(type.data(), type.size()));
}

[[noreturn]] void bad(const std::string& path, const std::string& why, const std::string& hint = {}) {
  throw Error(ErrorCode::bad_input, concat("checkpoint '", path, "' ", why), path, hint);
}

struct Saved {
  std::string path;
  Json record;
  Arrays states;
};

// Reads and verifies.
Saved read_whole(const std::string& path) {
  Safetensors file = read_safetensors(path);
  const std::string text = file.metadata[kRecord];
  if (text.empty() || file.metadata[kRecordHash] != hash_of(text.data(), text.size()))
    bad(path, text.empty() ? "was not written by mezzo" : "is damaged: its record has another hash");
  Saved out{path, Json::parse(text), std::move(file.tensors)};
  if (out.record.at("format") != kFormat)
    bad(path, concat("has format ", out.record.at("format").dump(), ", this version reads ", kFormat));
  const std::map<std::string, std::string> hashes = out.record.at("hashes");
  for (auto& [name, hash] : hashes) {
    auto found = out.states.find(name);
    if (found == out.states.end() || hash_of(found->second) != hash)
      bad(path, concat("is damaged: state '", name, "' has another hash"));
  }
  if (hashes.size() != out.states.size()) bad(path, "is damaged: it holds other states than its record says");
  return out;
}

std::string apply(Saved saved, Session& session) {
  if (saved.record.at("model") != session.model().hash())
    bad(saved.path, concat("belongs to another model than '", session.model().path, "'"),
        "use the .onnx file with which the training began");
  session.restore(std::move(saved.states), {saved.record.at("trained"), saved.record.at("statistics")},
                  saved.record.at("draws"));
  session.set_lr(saved.record.at("lr"));
  return saved.record.at("run");
}

}  // namespace

void write_checkpoint(const std::string& path, const Session& session, const std::string& run) {
  std::map<std::string, const ir::Tensor*> tensors;
  Json hashes = Json::object();
  for (auto& [name, value] : session.states().all()) {
    if (session.states().is_copy(name)) continue;  // the parameters say it all
    tensors[name] = &value;
    hashes[name] = hash_of(value);
  }
  const SessionNames names = session.names();
  const std::string record = Json{
      {"format", kFormat},
      {"model", session.model().hash()},
      {"trained", names.trained},
      {"statistics", names.statistics},
      {"draws", session.draws()},
                                  {"lr", session.base_lr()},
      {"hashes", hashes},
      {"run", run}}.dump();
  write_safetensors(path, tensors, {{kRecord, record}, {kRecordHash, hash_of(record.data(), record.size())}});
}

std::string read_checkpoint(const std::string& path, Session& session) {
  return apply(read_whole(path), session);
}

CheckpointFolder::CheckpointFolder(std::string path, int64_t keep) : path_(std::move(path)), keep_(keep) {
  std::error_code error;
  fs::create_directories(path_, error);
  if (error) throw_file_error("write", path_, error.value());
}

std::vector<std::pair<int64_t, std::string>> CheckpointFolder::files() const {
  std::vector<std::pair<int64_t, std::string>> out;
  std::error_code error;
  for (auto& entry : fs::directory_iterator(path_, error)) {
    const std::string name = entry.path().filename().string();
    if (!name.starts_with(kPrefix) || !name.ends_with(kSuffix)) continue;
    const std::string digits = name.substr(5, name.size() - 5 - std::string(kSuffix).size());
    if (digits.empty() || digits.size() > 18 || digits.find_first_not_of("0123456789") != digits.npos)
      continue;
    out.emplace_back(std::stoll(digits), entry.path().string());
  }
  if (error) throw_file_error("read", path_, error.value());
  std::sort(out.rbegin(), out.rend());
  return out;
}

void CheckpointFolder::write(int64_t step, const Session& session, const std::string& run) const {
  write_checkpoint((fs::path(path_) / concat(kPrefix, step, kSuffix)).string(), session, run);
  const auto all = files();
  std::error_code ignored;  // one that stays costs space only
  for (size_t i = static_cast<size_t>(keep_); i < all.size(); i++) fs::remove(all[i].second, ignored);
}

std::optional<std::string> CheckpointFolder::read_newest(
    Session& session, const std::function<void(const std::string&)>& complain) const {
  for (auto& [step, file] : files()) {
    std::optional<Saved> saved;
    try {
      saved = read_whole(file);
    } catch (const Error& e) {
      complain(e.what());
      continue;
    }
    return apply(std::move(*saved), session);
  }
  return std::nullopt;
}

}  // namespace mezzo::runtime
