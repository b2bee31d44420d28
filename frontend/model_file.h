// model_file.h: an .onnx file, parsed and checked: sizes, versions, names, definitions and uses. The payloads
// of large initializers stay in the file and are read when they are needed.
#pragma once
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "frontend/payloads.h"

namespace mezzo::onnx {
class ModelProto;
}

namespace mezzo::frontend {

// Operator set versions by domain; the default domain is "" (never "ai.onnx").
using Opsets = std::map<std::string, int64_t, std::less<>>;

struct Outline;

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
  // The model's bytes without the payloads in payloads().cut.
  std::string_view outline() const { return *outline_; }
  const std::string& path() const { return path_; }
  const std::shared_ptr<const Payloads>& payloads() const { return payloads_; }
  const std::string& hash() const { return payloads_->own.hash(); }  // of all bytes
  const Opsets& opsets() const { return opsets_; }

 private:
  ModelFile(Outline outline, ModelBytes bytes, std::string path, ExternalDataOptions options);
  std::unique_ptr<std::string> outline_;
  std::string path_;
  std::unique_ptr<onnx::ModelProto> proto_;
  std::shared_ptr<const Payloads> payloads_;
  Opsets opsets_;
};

}  // namespace mezzo::frontend
