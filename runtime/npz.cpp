#include "runtime/npz.h"

#include <zip.h>

#include <cerrno>
#include <list>
#include <memory>

#include "runtime/atomic_file.h"

namespace mezzo::runtime {
namespace {

struct Discard {
  void operator()(zip_t* archive) const { zip_discard(archive); }
};
struct CloseEntry {
  void operator()(zip_file_t* entry) const { zip_fclose(entry); }
};
using Archive = std::unique_ptr<zip_t, Discard>;

constexpr char kRewriteHint[] = "write the file again with numpy.savez";

[[noreturn]] void bad_file(const std::string& path, const std::string& what,
                           const std::string& hint = kRewriteHint) {
  throw Error(ErrorCode::bad_input, concat("'", path, "': ", what), path, hint);
}

Archive open_archive(const std::string& path) {
  int code = 0;
  errno = 0;
  zip_t* archive = zip_open(path.c_str(), ZIP_RDONLY, &code);
  if (archive) return Archive(archive);
  if (code == ZIP_ER_NOENT) throw_file_error("read", path, ENOENT);
  if (code == ZIP_ER_OPEN || code == ZIP_ER_READ) throw_file_error("read", path, errno ? errno : EIO);
  bad_file(path, "not a readable .npz file (truncated, or not a zip archive)");
}

// Adds an entry's declared size to the totals, refusing what exceeds the limits before it is read.
struct Budget {
  int64_t bytes = 0, deflated = 0;
  void add(const std::string& path, const std::string& name, const zip_stat_t& stat) {
    if (stat.size > static_cast<zip_uint64_t>(kMaxNpzBytes))
      bad_file(path, concat("array '", name, "' is too large"));
    auto size = static_cast<int64_t>(stat.size);
    bool stored = stat.comp_method == ZIP_CM_STORE;
    // Deflate cannot expand by more than 1032, so a larger claim is a lie.
    if (!stored && stat.comp_size < static_cast<zip_uint64_t>(size / 1032))
      bad_file(path, concat("array '", name, "' claims an impossible size"));
    bytes += size;
    deflated += stored ? 0 : size;
    if (bytes > kMaxNpzBytes || deflated > kMaxNpzDeflatedBytes)
      bad_file(path, "its arrays exceed the size limit (64 GiB; 16 GiB compressed)", "split the data set");
  }
};

std::string read_entry(zip_t* archive, zip_uint64_t index, const zip_stat_t& stat, const std::string& path,
                       const std::string& name) {
  if ((stat.valid & ZIP_STAT_ENCRYPTION_METHOD) && stat.encryption_method != ZIP_EM_NONE)
    bad_file(path, concat("array '", name, "' is encrypted"));
  std::unique_ptr<zip_file_t, CloseEntry> entry(zip_fopen_index(archive, index, 0));
  if (!entry) bad_file(path, concat("array '", name, "' cannot be read: ", zip_strerror(archive)));
  std::string bytes(static_cast<size_t>(stat.size), '\0');
  size_t have = 0;
  while (have < bytes.size()) {
    zip_int64_t n = zip_fread(entry.get(), bytes.data() + have, bytes.size() - have);
    if (n <= 0) bad_file(path, concat("array '", name, "' is damaged or truncated"));
    have += static_cast<size_t>(n);
  }
  char extra;  // reading to the end also makes libzip compare the checksum
  if (zip_fread(entry.get(), &extra, 1) != 0) bad_file(path, concat("array '", name, "' is damaged"));
  return bytes;
}

}  // namespace

Arrays read_npz(const std::string& path) {
  Archive archive = open_archive(path);
  zip_int64_t count = zip_get_num_entries(archive.get(), 0);
  if (count > kMaxNpzEntries) bad_file(path, "more than 65536 arrays");
  Arrays arrays;
  Budget budget;
  for (zip_int64_t i = 0; i < count; i++) {
    auto index = static_cast<zip_uint64_t>(i);
    zip_stat_t stat;
    if (zip_stat_index(archive.get(), index, 0, &stat) != 0) bad_file(path, "its directory is damaged");
    std::string name = stat.name ? stat.name : "";
    if (!name.ends_with(".npy")) bad_file(path, concat("entry '", name, "' is not a .npy array"));
    name.resize(name.size() - 4);
    budget.add(path, name, stat);
    try {
      if (!arrays.emplace(name, parse_npy(read_entry(archive.get(), index, stat, path, name), name)).second)
        bad_file(path, concat("array '", name, "' occurs twice"));
    } catch (const std::bad_alloc&) {
      throw Error(ErrorCode::out_of_memory, concat("'", path, "': no memory for array '", name, "'"), path);
    } catch (const Error& e) {
      if (e.node() == path) throw;
      throw Error(e.code(), concat("'", path, "': ", e.what()), path, e.hint());
    }
  }
  return arrays;
}

void write_npz(const std::string& path, const Arrays& arrays) {
  AtomicFile file(path);
  int code = 0;
  Archive archive(zip_open(file.temporary().c_str(), ZIP_TRUNCATE, &code));
  if (!archive) throw_file_error("write", path, errno ? errno : EIO);
  std::list<std::string> contents;  // libzip reads them in zip_close
  for (const auto& [name, tensor] : arrays) {
    const std::string& bytes = contents.emplace_back(format_npy(tensor));
    zip_source_t* source = zip_source_buffer(archive.get(), bytes.data(), bytes.size(), 0);
    zip_int64_t index =
        source ? zip_file_add(archive.get(), (name + ".npy").c_str(), source, ZIP_FL_ENC_UTF_8) : -1;
    if (index < 0 && source) zip_source_free(source);
    check(index >= 0, "libzip refuses array '", name, "': ", zip_strerror(archive.get()));
    zip_set_file_compression(archive.get(), static_cast<zip_uint64_t>(index), ZIP_CM_STORE, 0);
    zip_file_set_dostime(archive.get(), static_cast<zip_uint64_t>(index), 0, 0x21,
                         0);  // 1980-01-01, the earliest
  }
  errno = 0;
  if (zip_close(archive.get()) != 0) {
    int error_number = zip_error_code_system(zip_get_error(archive.get()));
    throw_file_error("write", path, error_number ? error_number : (errno ? errno : EIO));
  }
  (void)archive.release();  // closed
  if (arrays.empty())
    write_atomically(path, std::string("PK\x05\x06", 4) + std::string(18, '\0'));
  else
    file.commit();
}

}  // namespace mezzo::runtime
