#include "frontend/pieces.h"

#include <algorithm>
#include <iterator>

#include "frontend/wire.h"

namespace mezzo::frontend {

std::string_view bytes_of(const ir::Tensor& t) {
  return {reinterpret_cast<const char*>(t.data()), static_cast<size_t>(t.bytes())};
}

void Pieces::add(std::string_view bytes) {
  size_ += bytes.size();
  if (list_.empty() || !std::holds_alternative<std::string>(list_.back())) list_.emplace_back(std::string());
  std::get<std::string>(list_.back()) += bytes;
}

void Pieces::add(ir::StartValue elements) {
  size_ += static_cast<uint64_t>(elements.type().bytes());
  list_.emplace_back(std::move(elements));
}

void Pieces::add(const CutPayload& payload) {
  size_ += payload.size;
  list_.emplace_back(payload);
}

void Pieces::add(Pieces pieces) {
  size_ += pieces.size_;
  std::move(pieces.list_.begin(), pieces.list_.end(), std::back_inserter(list_));
}

void Pieces::add_field(uint32_t number, Pieces content) {
  std::string header;
  append_bytes_header(header, number, content.size());
  add(header);
  add(std::move(content));
}

void Pieces::write(const ModelBytes& model, const std::function<void(std::string_view)>& sink) const {
  constexpr uint64_t kChunk = uint64_t{1} << 20;  // bytes
  for (const auto& piece : list_) {
    if (auto* bytes = std::get_if<std::string>(&piece)) {
      sink(*bytes);
    } else if (auto* elements = std::get_if<ir::StartValue>(&piece)) {
      sink(bytes_of(*elements->share()));
    } else {
      const auto& payload = std::get<CutPayload>(piece);
      std::vector<std::byte> chunk;
      for (uint64_t at = 0; at < payload.size; at += chunk.size()) {
        chunk.resize(std::min(kChunk, payload.size - at));
        model.read(payload.offset + at, chunk);
        sink({reinterpret_cast<const char*>(chunk.data()), chunk.size()});
      }
    }
  }
}

}  // namespace mezzo::frontend
