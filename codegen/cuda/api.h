// api.h: how the functions of a library that is opened at run time are declared. A library's table is one
// macro with a row per symbol, X(required, name, signature): the row is the declaration, the member, the
// lookup and the message. Its constants are rows X(ours, theirs, value); `theirs` is for the test that
// compares with the real headers. Result codes are plain int (0 = success), so that a code this build has
// never heard of is still a valid value.
#pragma once
#include <dlfcn.h>

#include <cstddef>
#include <cstdint>

#include "codegen/cuda/find_library.h"

namespace mezzo::codegen::cuda {

template <class F>
using Pointer = F*;

#define MEZZO_API_MEMBER(required, name, signature) Pointer<signature> name = nullptr;
#define MEZZO_API_VALUE(ours, theirs, value) inline constexpr int ours = value;

// Fills `api` from an open library. Returns the first required symbol that is missing, or "".
#define MEZZO_API_BIND(required, name, signature)                                \
  api.name = reinterpret_cast<Pointer<signature>>(dlsym(library.handle, #name)); \
  if (!api.name) {                                                               \
    if (required && missing.empty()) missing = #name;                            \
    if (!required) library.lacks.push_back(#name);                               \
  }

#define MEZZO_DECLARE_API(Api, TABLE)                    \
  struct Api {                                           \
    TABLE(MEZZO_API_MEMBER)                              \
  };                                                     \
  inline std::string bind(Api& api, Library& library) {  \
    std::string missing;                                 \
    TABLE(MEZZO_API_BIND)                                \
    return missing.empty() ? "" : "it lacks " + missing; \
  }

}  // namespace mezzo::codegen::cuda
