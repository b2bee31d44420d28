// external_data_test.cpp: a model reads only files beneath its own directory; the table of known attacks, and
// the link layout of model caches, which must work.
#include <gmock/gmock.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "ir/eval.h"
#include "model_builder.h"

namespace mezzo::test {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

using Entries = std::vector<std::pair<std::string, std::string>>;

std::string model_with(const Entries& entries, const std::vector<int64_t>& dims = {2}) {
  ModelBuilder m;
  m.input("x", {2}).output("y").node("Add", {"x", "w"}, {"y"}, "add");
  auto& t = m.tensor("w", dims, 1);
  t.set_data_location(1);
  for (auto& [key, value] : entries) {
    auto* e = t.add_external_data();
    e->set_key(key);
    e->set_value(value);
  }
  return m.bytes();
}

std::string floats(std::initializer_list<float> values) {
  std::string out;
  for (float v : values) out.append(reinterpret_cast<const char*>(&v), sizeof v);
  return out;
}

class ExternalData : public testing::Test {
 protected:
  void SetUp() override {
    fs::create_directories(dir / "model/sub");
    write_file(dir / "model/w.bin", floats({1, 2, 3, 4}));
    write_file(dir / "secret.bin", floats({6, 6, 6, 6}));
  }
  std::string load(const Entries& entries, const std::vector<int64_t>& dims = {2},
                   frontend::ExternalDataOptions options = {}) {
    write_file(dir / "model/m.onnx", model_with(entries, dims));
    return load_path(dir / "model/m.onnx", std::move(options));
  }
  // The error, or the first weight.
  std::string load_path(const std::string& path, frontend::ExternalDataOptions options = {}) {
    try {
      auto imported = frontend::import_model(frontend::ModelFile::read(path, std::move(options)));
      return concat("w = ", imported.graph.tensors.at("w").share()->get(0));
    } catch (const Error& e) {
      return e.what();
    }
  }
  TemporaryDirectory dir;
};

TEST_F(ExternalData, Reads) {
  EXPECT_EQ(load({{"location", "w.bin"}}), "w = 1");
  EXPECT_EQ(load({{"location", "w.bin"}, {"offset", "8"}, {"length", "8"}, {"checksum", "x"}}), "w = 3");
  EXPECT_EQ(load({{"location", "./sub/../w.bin"}}).substr(0, 4),
            "exte");  // ".." is refused even where it is harmless
  write_file(dir / "model/sub/w.bin", floats({9, 9}));
  EXPECT_EQ(load({{"location", "sub/w.bin"}}), "w = 9");
}

TEST_F(ExternalData, LeavesNoDirectory) {
  EXPECT_THAT(load({{"location", "../secret.bin"}}), HasSubstr("leaves the model's directory"));
  EXPECT_THAT(load({{"location", "sub/../../secret.bin"}}), HasSubstr("leaves the model's directory"));
  EXPECT_THAT(load({{"location", "sub/.."}}), HasSubstr("leaves the model's directory"));
  EXPECT_THAT(load({{"location", dir / "secret.bin"}}), HasSubstr("is absolute"));
  EXPECT_THAT(load({{"location", "C:secret.bin"}}), HasSubstr("names a drive"));
  EXPECT_THAT(load({{"location", "..\\secret.bin"}}), HasSubstr("backslash"));
  EXPECT_THAT(load({{"location", std::string("w.bin\0x", 7)}}), HasSubstr("NUL"));
  EXPECT_THAT(load({{"location", ""}}), HasSubstr("is empty"));
  EXPECT_THAT(load({{"location", "*/_ORT_MEM_ADDR_/*"}, {"offset", "4096"}, {"length", "8"}}),
              HasSubstr("cannot be opened"));
}

TEST_F(ExternalData, FollowsNoLinkOut) {
  fs::create_symlink(dir / "secret.bin", dir / "model/link.bin");
  EXPECT_THAT(load({{"location", "link.bin"}}), HasSubstr("link out of the model's directory"));
  fs::create_directory_symlink(dir.path(), dir / "model/up");
  EXPECT_THAT(load({{"location", "up/secret.bin"}}), HasSubstr("link out of the model's directory"));
  fs::create_symlink("w.bin", dir / "model/inside.bin");  // a link that stays inside is fine
  EXPECT_EQ(load({{"location", "inside.bin"}}), "w = 1");
  fs::create_symlink("loop.bin", dir / "model/loop.bin");
  EXPECT_NE(load({{"location", "loop.bin"}}), "w = 1");
}

// A model cache: snapshots/rev/m.onnx -> ../../blobs/aaa, snapshots/rev/w.bin -> ../../blobs/bbb.
TEST_F(ExternalData, ModelCacheLayout) {
  fs::create_directories(dir / "cache/blobs");
  fs::create_directories(dir / "cache/snapshots/rev");
  write_file(dir / "cache/blobs/aaa", model_with({{"location", "w.bin"}}));
  write_file(dir / "cache/blobs/bbb", floats({5, 5}));
  fs::create_symlink("../../blobs/aaa", dir / "cache/snapshots/rev/m.onnx");
  fs::create_symlink("../../blobs/bbb", dir / "cache/snapshots/rev/w.bin");
  EXPECT_EQ(load_path(dir / "cache/snapshots/rev/m.onnx"), "w = 5");
  fs::remove(dir / "cache/snapshots/rev/w.bin");
  fs::create_symlink("../../../secret.bin", dir / "cache/snapshots/rev/w.bin");
  EXPECT_THAT(load_path(dir / "cache/snapshots/rev/m.onnx"), HasSubstr("link out of"));
}

TEST_F(ExternalData, Ranges) {
  EXPECT_THAT(load({{"location", "w.bin"}, {"offset", "1099511627776"}}),
              HasSubstr("at offset 1099511627776"));
  EXPECT_THAT(load({{"location", "w.bin"}, {"length", "1099511627776"}}),
              HasSubstr("1099511627776 bytes of external data"));
  EXPECT_THAT(load({{"location", "w.bin"}, {"offset", "-4"}}), HasSubstr("'-4' is not a byte count"));
  EXPECT_THAT(load({{"location", "w.bin"}, {"offset", "99999999999999999999"}}),
              HasSubstr("not a byte count"));
  EXPECT_THAT(load({{"location", "w.bin"}, {"offset", "0x8"}}), HasSubstr("not a byte count"));
  EXPECT_THAT(load({{"location", "w.bin"}, {"offset", "12"}}), HasSubstr("wants 8 bytes at offset 12"));
  EXPECT_THAT(load({{"location", "w.bin"}}, {int64_t{1} << 38}), HasSubstr("which has 16"));
  EXPECT_THAT(load({{"location", "w.bin"}, {"__class__", "x"}}), HasSubstr("unknown external data key"));
  EXPECT_THAT(load({{"offset", "0"}}), HasSubstr("without a location"));
  EXPECT_THAT(load({{"location", "absent.bin"}}), HasSubstr("No such file"));
  EXPECT_NE(load({{"location", "sub"}}), "w = 1");
}

TEST_F(ExternalData, OnlyRegularFiles) {
  ASSERT_EQ(::mkfifo((dir / "model/pipe").c_str(), 0600), 0);
  EXPECT_NE(load({{"location", "pipe"}}).substr(0, 3), "w =");  // and does not hang
}

TEST_F(ExternalData, Options) {
  EXPECT_THAT(load({{"location", "w.bin"}}, {2}, {.enabled = false}), HasSubstr("stands in external file"));
  fs::create_hard_link(dir / "secret.bin", dir / "model/hard.bin");
  EXPECT_EQ(load({{"location", "hard.bin"}}), "w = 6");
  EXPECT_THAT(load({{"location", "hard.bin"}}, {2}, {.refuse_hard_links = true}),
              HasSubstr("more than one hard link"));
  fs::create_directories(dir / "elsewhere");
  write_file(dir / "elsewhere/far.bin", floats({7, 7}));
  EXPECT_EQ(load({{"location", "far.bin"}}, {2}, {.directories = {dir / "elsewhere"}}), "w = 7");
}

}  // namespace
}  // namespace mezzo::test
