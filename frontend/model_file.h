// model_file.h: an .onnx file in memory, parsed and checked: sizes, versions, names, definitions and uses.
#pragma once
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "frontend/external_data.h"

namespace mezzo::onnx {
class ModelProto;
}

namespace mezzo::frontend {

// Operator set versions by domain; the default domain is "" (never "ai.onnx").
using Opsets = std::map<std::string, int64_t, std::less<>>;

class ModelFile {
 public:
  // Throws Error: bad_input for a file that cannot be read, is malformed or exceeds docs/limits.md;
  // unsupported for an IR version or operator set outside the supported range.
  static ModelFile read(const std::string& path, ExternalDataOptions options = {});
  // `path` says where external data would be; empty when the model has no file.
  static ModelFile from_bytes(std::string bytes, std::string path = {}, ExternalDataOptions options = {});
  ~ModelFile();
  ModelFile(ModelFile&&) noexcept;
  ModelFile& operator=(ModelFile&&) noexcept;

  const onnx::ModelProto& proto() const { return *proto_; }
  std::string_view bytes() const { return *bytes_; }  // the file as it was read
  const std::string& path() const { return path_; }
  const ExternalData& external() const { return *external_; }
  const Opsets& opsets() const { return opsets_; }

 private:
  ModelFile();
  std::unique_ptr<std::string> bytes_;
  std::string path_;
  std::unique_ptr<onnx::ModelProto> proto_;
  std::unique_ptr<ExternalData> external_;
  Opsets opsets_;
};

}  // namespace mezzo::frontend
