// build_identity.h: which build of this library is running.
#pragma once
#include <string>

namespace mezzo::codegen {

// Differs between builds whose code differs: the identifier that the linker computed of the file's content, in
// hexadecimal. Empty where the linker left none.
const std::string& build_identity();

}  // namespace mezzo::codegen
