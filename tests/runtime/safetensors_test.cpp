#include "runtime/safetensors.h"

#include <gmock/gmock.h>
#include <unistd.h>

#include <filesystem>

#include "runtime/atomic_file.h"

namespace mezzo::runtime {
namespace {

using ir::Tensor;
using testing::HasSubstr;

std::string scratch() { return testing::TempDir() + concat("mezzo_", ::getpid(), ".safetensors"); }

std::string file_with(const std::string& header, size_t payload = 8) {
  std::string out;
  for (size_t i = 0; i < 8; i++) out += static_cast<char>(header.size() >> (8 * i) & 0xff);
  return out + header + std::string(payload, 'x');
}

std::string message_for(const std::string& bytes) {
  write_atomically(scratch(), bytes);
  try {
    read_safetensors(scratch());
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ErrorCode::bad_input);
    return e.what();
  }
  return "no error";
}

TEST(Safetensors, EveryTypeComesBack) {
  Arrays arrays;
  std::map<std::string, const Tensor*> pointers;
  for (int i = 0; i < ir::kDTypeCount; i++) {
    auto type = static_cast<ir::DType>(i);
    arrays.emplace(concat("t", i), Tensor::of({3}, {0, 1, 1}, type));
  }
  arrays.emplace("scalar", Tensor::scalar(7));
  arrays.emplace("nothing", Tensor({ir::DType::f32, {0, 4}}));
  for (auto& [name, tensor] : arrays) pointers[name] = &tensor;
  write_safetensors(scratch(), pointers, {{"key", "a \"text\"\n"}});
  Safetensors back = read_safetensors(scratch());
  EXPECT_EQ(back.tensors, arrays);
  EXPECT_EQ(back.metadata.at("key"), "a \"text\"\n");
  const std::string bytes = read_file(scratch());
  write_safetensors(scratch(), pointers, {{"key", "a \"text\"\n"}});
  EXPECT_EQ(read_file(scratch()), bytes);
  EXPECT_EQ(static_cast<unsigned char>(bytes[0]) % 8, 0);  // the payload is aligned
  std::filesystem::remove(scratch());
}

TEST(Safetensors, HostileHeaders) {
  auto tensor = [](const std::string& shape, const std::string& offsets,
                   const std::string& dtype = "\"F32\"") {
    return "{\"a\":{\"dtype\":" + dtype + ",\"shape\":" + shape + ",\"data_offsets\":" + offsets + "}}";
  };
  EXPECT_EQ(message_for(file_with(tensor("[2]", "[0,8]"))), "no error");
  EXPECT_THAT(message_for(""), HasSubstr("fewer than 8 bytes"));
  EXPECT_THAT(message_for(std::string(8, '\xff')), HasSubstr("its header claims"));
  EXPECT_THAT(message_for(file_with("[1]")), HasSubstr("no JSON object"));
  EXPECT_THAT(message_for(file_with("{\"a\":")), HasSubstr("no JSON object"));
  EXPECT_THAT(message_for(file_with(std::string(100000, '{'))), HasSubstr("no JSON object"));
  EXPECT_THAT(message_for(file_with("{\"a\":1}")), HasSubstr("tensor 'a' has no dtype"));
  EXPECT_THAT(message_for(file_with(tensor("[2]", "[0,8]", "\"F128\""))), HasSubstr("unknown dtype"));
  EXPECT_THAT(message_for(file_with(tensor("[2]", "[0]"))), HasSubstr("bad offsets"));
  EXPECT_THAT(message_for(file_with(tensor("{}", "[0,8]"))), HasSubstr("bad shape"));
  EXPECT_THAT(message_for(file_with(tensor("[-2]", "[0,8]"))), HasSubstr("claims more than the file has"));
  EXPECT_THAT(message_for(file_with(tensor("[4611686018427387904,4611686018427387904]", "[0,8]"))),
              HasSubstr("claims more than the file has"));
  EXPECT_THAT(message_for(file_with(tensor("[3]", "[0,8]"))), HasSubstr("offsets of another size"));
  EXPECT_THAT(message_for(file_with(tensor("[2]", "[8,0]"))), HasSubstr("offsets of another size"));
  EXPECT_THAT(message_for(file_with(tensor("[2]", "[4,12]"), 12)), HasSubstr("does not begin where"));
  EXPECT_THAT(message_for(file_with(tensor("[2]", "[0,8]"), 9)), HasSubstr("take 8 bytes of 9"));
  EXPECT_THAT(message_for(file_with("{\"__metadata__\":{\"k\":1}}", 0)), HasSubstr("metadata"));
  std::filesystem::remove(scratch());
}

}  // namespace
}  // namespace mezzo::runtime
