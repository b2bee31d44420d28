#include "codegen/object_cache.h"

#include <unistd.h>
#include <xxhash.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <vector>

namespace mezzo::codegen {
namespace fs = std::filesystem;
namespace {

constexpr std::string_view kSuffix = ".mezzo-object";

// The content of a file, unless it is missing or damaged.
std::optional<std::string> read_entry(const fs::path& path) {
  std::error_code error;
  if (!fs::is_regular_file(path, error)) return std::nullopt;
  std::ifstream file(path, std::ios::binary);
  std::string all{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  uint64_t sum = 0;
  if (!file || all.size() < sizeof sum) return std::nullopt;
  std::memcpy(&sum, all.data(), sizeof sum);
  if (sum != XXH3_64bits(all.data() + sizeof sum, all.size() - sizeof sum)) return std::nullopt;
  return all.substr(sizeof sum);
}

}  // namespace

std::string ObjectCache::key(std::string_view text) {
  XXH128_hash_t h = XXH3_128bits(text.data(), text.size());
  char out[33];
  snprintf(out, sizeof out, "%016llx%016llx", static_cast<unsigned long long>(h.high64),
           static_cast<unsigned long long>(h.low64));
  return out;
}

std::optional<std::string> ObjectCache::load(const std::string& key) const {
  if (folder_.empty()) return std::nullopt;
  fs::path path = fs::path(folder_) / (key + std::string(kSuffix));
  std::optional<std::string> content = read_entry(path);
  std::error_code ignored;  // trim() drops what was not used for long
  if (content) fs::last_write_time(path, fs::file_time_type::clock::now(), ignored);
  return content;
}

void ObjectCache::store(const std::string& key, std::string_view content) const {
  if (folder_.empty()) return;
  static std::atomic<int> count{0};
  std::error_code error;
  fs::create_directories(folder_, error);
  fs::path path = fs::path(folder_) / (key + std::string(kSuffix)), temporary = path;
  temporary += "." + std::to_string(getpid()) + "." + std::to_string(count++);
  uint64_t sum = XXH3_64bits(content.data(), content.size());
  std::ofstream file(temporary, std::ios::binary);
  file.write(reinterpret_cast<const char*>(&sum), sizeof sum);
  file.write(content.data(), static_cast<std::streamsize>(content.size()));
  file.close();
  if (file) fs::rename(temporary, path, error);
  if (!file || error) fs::remove(temporary, error);
  trim();
}

ObjectCache::Content ObjectCache::content() const {
  Content out;
  std::error_code error;
  for (const auto& e : fs::directory_iterator(folder_, error)) {
    if (e.path().extension() != kSuffix) continue;
    std::error_code gone;
    out.bytes += static_cast<int64_t>(e.file_size(gone));
    out.entries++;
    if (!read_entry(e.path())) out.damaged++;
  }
  return out;
}

void ObjectCache::trim() const {
  struct Entry {
    fs::file_time_type time;
    int64_t bytes;
    fs::path path;
  };
  std::vector<Entry> entries;
  int64_t total = 0;
  std::error_code error;
  for (const auto& e : fs::directory_iterator(folder_, error)) {
    if (e.path().extension() != kSuffix) continue;
    std::error_code gone;  // another process may trim at the same time
    auto bytes = static_cast<int64_t>(e.file_size(gone));
    auto time = e.last_write_time(gone);
    if (gone) continue;
    entries.push_back({time, bytes, e.path()});
    total += bytes;
  }
  if (total <= limit_) return;
  std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) { return a.time < b.time; });
  for (const Entry& e : entries) {
    if (total <= limit_) break;
    fs::remove(e.path, error);
    total -= e.bytes;
  }
}

}  // namespace mezzo::codegen
