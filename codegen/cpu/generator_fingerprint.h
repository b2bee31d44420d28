// generator_fingerprint.h: which build of the code generator this is; part of every key of the kernel cache.
#pragma once

namespace mezzo::codegen::cpu {

// Hash over the sources of ir/ and codegen/ that decide what code a kernel becomes. Written at build time
// (cmake/generator_fingerprint.cmake).
extern const char* const kGeneratorFingerprint;

}  // namespace mezzo::codegen::cpu
