// export_test.cpp: a trained model is the user's file with other weights and nothing else changed.
#include "frontend/export.h"

#include <gmock/gmock.h>
#include <sys/resource.h>

#include <chrono>
#include <csignal>
#include <filesystem>

#include "model_builder.h"

namespace mezzo::test {
namespace {

namespace fs = std::filesystem;
using frontend::ModelFile;
using ir::Tensor;
using testing::HasSubstr;

ir::TensorPtr tensor(const ir::Dims& dims, const std::vector<double>& values) {
  return std::make_shared<const Tensor>(Tensor::of(dims, values));
}
Tensor weight_of(const ModelFile& file, const std::string& name) {
  return frontend::import_model(file).graph.tensors.at(name).copy();
}

ModelBuilder two_weights() {
  ModelBuilder m;
  m.input("x", {2}).output("y").weight("a", {2}, {1, 2}).weight("b", {2}, {3, 4});
  m.node("Add", {"x", "a"}, {"t"});
  m.node("Mul", {"t", "b"}, {"y"});
  return m;
}

TEST(Export, OnlyThePayloadChanges) {
  ModelBuilder m = two_weights();
  m.graph().mutable_initializer(1)->clear_float_data();
  const std::string old_payload("\0\0\x40\x40\0\0\x80\x40", 8);
  m.graph().mutable_initializer(1)->set_raw_data(old_payload);
  // Fields that no schema of ours knows, at every level.
  std::string bytes = m.bytes() + std::string("\xa2\x06\x03xyz", 6);
  auto file = ModelFile::from_bytes(bytes);
  std::string patched = frontend::patch_model(file, {{"b", tensor({2}, {5, 6})}});
  ASSERT_EQ(patched.size(), bytes.size());
  std::string expected = bytes;
  size_t at = expected.find(old_payload);
  ASSERT_NE(at, std::string::npos);
  expected.replace(at, 8, std::string("\0\0\xa0\x40\0\0\xc0\x40", 8));
  EXPECT_EQ(patched, expected);
  EXPECT_EQ(frontend::patch_model(file, {}), bytes);
}

// Large enough to stay in the file: `a` and `b` in front of another field, `k` of integers.
ModelBuilder large_weights() {
  ModelBuilder m;
  m.input("x", {400}).output("y");
  for (const char* name : {"a", "b"}) {
    auto& t = m.tensor(name, {400}, 1);
    t.set_raw_data(std::string(1600, name[0]));
    t.set_doc_string("behind the payload");
  }
  m.tensor("k", {300}, 7).set_raw_data(std::string(2400, '\1'));
  m.output("k");
  m.node("Add", {"x", "a"}, {"t"});
  m.node("Mul", {"t", "b"}, {"y"});
  return m;
}

TEST(Export, LargePayloadsAreReadFromTheFileAgain) {
  TemporaryDirectory dir;
  std::string bytes = large_weights().bytes() + std::string("\xa2\x06\x03xyz", 6);
  write_file(dir / "m.onnx", bytes);
  auto file = ModelFile::read(dir / "m.onnx");
  EXPECT_LT(file.outline().size(), bytes.size() - 5600);
  EXPECT_EQ(file.proto().graph().initializer(0).raw_data(), "");
  EXPECT_EQ(file.hash(), ModelFile::from_bytes(bytes).hash());
  EXPECT_EQ(frontend::patch_model(file, {}), bytes);
  Tensor b({ir::DType::f32, {400}});
  std::fill_n(b.data(), 1600, std::byte{'c'});
  std::string expected = bytes;
  expected.replace(expected.find("bbbb"), 1600, std::string(1600, 'c'));
  // Raw data goes behind what stood around it; its own field may have stood anywhere.
  std::string patched = frontend::patch_model(file, {{"b", std::make_shared<const Tensor>(b)}});
  EXPECT_EQ(patched.size(), expected.size());
  auto again = ModelFile::from_bytes(patched);
  EXPECT_EQ(weight_of(again, "b"), b);
  EXPECT_EQ(weight_of(again, "a"), weight_of(file, "a"));
  EXPECT_EQ(again.proto().graph().initializer(1).doc_string(), "behind the payload");
}

TEST(Export, AFileThatIsReplacedMeanwhileStaysTheOneThatWasRead) {
  TemporaryDirectory dir;
  const std::string bytes = large_weights().bytes();
  write_file(dir / "m.onnx", bytes);
  auto file = ModelFile::read(dir / "m.onnx");
  frontend::export_model(file, {{"a", std::make_shared<const Tensor>(ir::Type{ir::DType::f32, {400}})}},
                         dir / "m.onnx");  // over itself
  EXPECT_NE(read_file(dir / "m.onnx"), bytes);
  EXPECT_EQ(frontend::patch_model(file, {}), bytes);
}

TEST(Export, AFileThatIsChangedMeanwhileIsAnError) {
  TemporaryDirectory dir;
  std::string bytes = large_weights().bytes();
  write_file(dir / "m.onnx", bytes);
  auto file = ModelFile::read(dir / "m.onnx");
  fs::last_write_time(dir / "m.onnx", fs::file_time_type::clock::now() + std::chrono::hours(1));
  EXPECT_EQ(frontend::patch_model(file, {}), bytes);  // only touched
  bytes[bytes.find("aaaa")] = 'A';
  write_file(dir / "m.onnx", bytes);
  EXPECT_THAT(error_of([&] { frontend::patch_model(file, {}); }), HasSubstr("was changed while"));
  EXPECT_THAT(error_of([&] { weight_of(file, "a"); }), HasSubstr("was changed while"));
  fs::resize_file(dir / "m.onnx", 100);
  EXPECT_THAT(error_of([&] { weight_of(file, "a"); }), HasSubstr("became shorter"));
}

TEST(Export, TypedDataAndHalfWeights) {
  ModelBuilder m = two_weights();
  auto& half = m.tensor("h", {2}, 10);
  half.add_int32_data(0x3c00);
  half.add_int32_data(0x3c00);
  m.node("Cast", {"h"}, {"h32"});
  set(*m.graph().mutable_node(2), "to", int64_t{1});
  m.node("Add", {"y", "h32"}, {"z"});
  m.output("z");
  auto file = m.file();
  auto again = ModelFile::from_bytes(
      frontend::patch_model(file, {{"a", tensor({2}, {7, 8})}, {"h", tensor({2}, {1.5, 2})}}));
  EXPECT_EQ(weight_of(again, "a"), Tensor::of({2}, {7, 8}));
  EXPECT_EQ(weight_of(again, "b"), Tensor::of({2}, {3, 4}));
  EXPECT_EQ(weight_of(again, "h"), Tensor::of({2}, {1.5, 2}));
  EXPECT_EQ(again.proto().graph().initializer(2).data_type(), 10);
}

TEST(Export, AliasesBecomeInitializers) {
  for (int64_t ir_version : {3, 8}) {
    ModelBuilder m(9, ir_version);
    m.input("x", {2}).weight("w", {2}, {1, 2}).output("y");
    if (ir_version == 3) m.input("w", {2});
    m.node("Identity", {"w"}, {"w2"}, "alias");
    m.node("Add", {"x", "w"}, {"a"});
    m.node("Mul", {"a", "w2"}, {"y"});
    auto again = ModelFile::from_bytes(frontend::patch_model(m.file(), {{"w2", tensor({2}, {5, 6})}}));
    EXPECT_EQ(weight_of(again, "w2"), Tensor::of({2}, {5, 6}));
    EXPECT_EQ(weight_of(again, "w"), Tensor::of({2}, {1, 2}));
    EXPECT_EQ(again.proto().graph().node_size(), 2);
    EXPECT_EQ(again.proto().graph().input_size(), ir_version == 3 ? 3 : 1);
  }
}

TEST(Export, Mistakes) {
  auto file = two_weights().file();
  EXPECT_THAT(error_of([&] {
                frontend::patch_model(file, {{"c", tensor({2}, {1, 1})}});
              }),
              HasSubstr("no initializer 'c'"));
  EXPECT_THAT(error_of([&] {
                frontend::patch_model(file, {{"a", tensor({1}, {1})}});
              }),
              HasSubstr("its new value is f32[1]"));
}

TEST(Export, ExternalData) {
  TemporaryDirectory dir;
  fs::create_directories(dir / "in");
  fs::create_directories(dir / "out");
  ModelBuilder m = two_weights();
  write_file(dir / "in/weights", std::string("\0\0\x80\x3f\0\0\0\x40\0\0\x40\x40\0\0\x80\x40", 16));
  for (int i = 0; i < 2; i++) {
    auto& t = *m.graph().mutable_initializer(i);
    t.clear_float_data();
    t.set_data_location(1);
    for (auto [key, value] : {std::pair{"location", "weights"}, std::pair{"offset", i ? "8" : "0"}}) {
      auto* e = t.add_external_data();
      e->set_key(key);
      e->set_value(value);
    }
  }
  write_file(dir / "in/m.onnx", m.bytes());
  auto file = ModelFile::read(dir / "in/m.onnx");
  // Nothing external changes, same directory: the old data keeps serving.
  frontend::export_model(file, {}, dir / "in/copy.onnx");
  EXPECT_EQ(read_file(dir / "in/copy.onnx"), m.bytes());
  EXPECT_FALSE(fs::exists(dir / "in/copy.onnx.data"));
  // A changed weight, and another directory: both tensors move.
  frontend::export_model(file, {{"b", tensor({2}, {8, 9})}}, dir / "out/new.onnx");
  auto again = ModelFile::read(dir / "out/new.onnx");
  EXPECT_EQ(weight_of(again, "a"), Tensor::of({2}, {1, 2}));
  EXPECT_EQ(weight_of(again, "b"), Tensor::of({2}, {8, 9}));
  // In place, over the file that is being read.
  frontend::export_model(again, {{"a", tensor({2}, {0, 0})}}, dir / "out/new.onnx");
  auto third = ModelFile::read(dir / "out/new.onnx");
  EXPECT_EQ(weight_of(third, "a"), Tensor::of({2}, {0, 0}));
  EXPECT_EQ(weight_of(third, "b"), Tensor::of({2}, {8, 9}));
}

// A limit on the size of files stands in for a full disk: write() fails half way.
TEST(Export, AFailedWriteLeavesTheOldFile) {
  TemporaryDirectory dir;
  ModelBuilder m;
  m.input("x", {100000})
      .output("y")
      .weight("w", {100000}, std::vector<float>(100000, 1))
      .node("Add", {"x", "w"}, {"y"});
  auto file = m.file();
  write_file(dir / "m.onnx", "old");
  rlimit before{}, small{};
  ::getrlimit(RLIMIT_FSIZE, &before);
  small = {65536, before.rlim_max};
  auto* handler = std::signal(SIGXFSZ, SIG_IGN);
  ::setrlimit(RLIMIT_FSIZE, &small);
  std::string why = error_of([&] { frontend::export_model(file, {}, dir / "m.onnx"); });
  ::setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, handler);
  EXPECT_THAT(why, HasSubstr("cannot write"));
  EXPECT_EQ(read_file(dir / "m.onnx"), "old");
  EXPECT_EQ(std::distance(fs::directory_iterator(dir.path()), {}), 1);
  EXPECT_THAT(error_of([&] { frontend::export_model(file, {}, dir / "absent/m.onnx"); }),
              HasSubstr("cannot write"));
}

}  // namespace
}  // namespace mezzo::test
