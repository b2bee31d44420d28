#include "codegen/build_identity.h"

#include <elf.h>
#include <link.h>

#include <cstring>
#include <string_view>

namespace mezzo::codegen {
namespace {

// The notes of one segment: header, name and content, each padded to four bytes.
std::string identity_in(const char* at, const char* end) {
  auto padded = [](size_t size) { return (size + 3) & ~size_t{3}; };
  while (static_cast<size_t>(end - at) >= sizeof(ElfW(Nhdr))) {
    ElfW(Nhdr) note;
    std::memcpy(&note, at, sizeof note);
    at += sizeof note;
    const size_t name = padded(note.n_namesz), content = padded(note.n_descsz);
    if (name + content > static_cast<size_t>(end - at)) return {};
    if (note.n_type == NT_GNU_BUILD_ID &&
        std::string_view(at, note.n_namesz) == std::string_view("GNU\0", 4)) {
      std::string out;
      for (const char c : std::string_view(at + name, note.n_descsz))
        for (const int shift : {4, 0}) out += "0123456789abcdef"[c >> shift & 15];
      return out;
    }
    at += name + content;
  }
  return {};
}

// The address to look for, and the identity of the file that is loaded there.
struct Search {
  uintptr_t address;
  std::string found;
};

int examine(dl_phdr_info* file, size_t, void* data) {
  auto* search = static_cast<Search*>(data);
  bool here = false;
  for (int i = 0; i < file->dlpi_phnum; i++) {
    const auto& segment = file->dlpi_phdr[i];
    const uintptr_t begin = file->dlpi_addr + segment.p_vaddr;
    here |=
        segment.p_type == PT_LOAD && search->address >= begin && search->address < begin + segment.p_memsz;
  }
  for (int i = 0; here && search->found.empty() && i < file->dlpi_phnum; i++) {
    const auto& segment = file->dlpi_phdr[i];
    if (segment.p_type != PT_NOTE) continue;
    const auto* begin = reinterpret_cast<const char*>(file->dlpi_addr + segment.p_vaddr);
    search->found = identity_in(begin, begin + segment.p_memsz);
  }
  return here;
}

std::string find_identity() {
  Search search{reinterpret_cast<uintptr_t>(&find_identity), {}};
  dl_iterate_phdr(examine, &search);
  return search.found;
}

}  // namespace

const std::string& build_identity() {
  static const std::string identity = find_identity();
  return identity;
}

}  // namespace mezzo::codegen
