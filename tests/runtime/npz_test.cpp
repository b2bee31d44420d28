#include "runtime/npz.h"

#include <gmock/gmock.h>
#include <sys/resource.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>

#include "runtime/atomic_file.h"

namespace mezzo::runtime {
namespace {

using ir::DType;
using ir::Tensor;
using testing::HasSubstr;

std::string scratch(const std::string& name) {
  std::string dir = testing::TempDir() + "mezzo_npz_" + std::to_string(::getpid());
  std::filesystem::create_directories(dir);
  return dir + "/" + name;
}

template <class F>
std::string message_of(F f) {
  try {
    f();
  } catch (const Error& e) {
    return e.what();
  }
  return "no error";
}

std::string npy(const std::string& header, const std::string& payload) {
  std::string out("\x93NUMPY\x01\x00", 8);
  out += static_cast<char>(header.size() & 0xff);
  out += static_cast<char>(header.size() >> 8);
  return out + header + payload;
}

TEST(Npz, EveryTypeComesBack) {
  Arrays arrays;
  for (int i = 0; i < ir::kDTypeCount; i++) {
    auto t = static_cast<DType>(i);
    arrays.emplace(std::string(ir::name(t)), Tensor::of({2, 3}, {0, 1, 2, 3, 4, 5}, t));
  }
  arrays.emplace("scalar", Tensor::scalar(7));
  arrays.emplace("empty", Tensor({DType::f32, {0, 4}}));
  arrays.emplace("grad:layer/1.weight", Tensor::of({1}, {-2}));
  write_npz(scratch("types.npz"), arrays);
  Arrays back = read_npz(scratch("types.npz"));
  ASSERT_EQ(back.size(), arrays.size());
  for (auto& [name, tensor] : arrays) {
    EXPECT_EQ(back.at(name), name == "bf16" ? tensor.cast(DType::f32) : tensor) << name;
  }
}

TEST(Npz, SameArraysSameBytes) {
  write_npz(scratch("a.npz"), {{"x", Tensor::scalar(1)}});
  write_npz(scratch("b.npz"), {{"x", Tensor::scalar(1)}});
  EXPECT_EQ(read_file(scratch("a.npz")), read_file(scratch("b.npz")));
}

TEST(Npz, EmptyArchive) {
  write_npz(scratch("none.npz"), {});
  EXPECT_TRUE(read_npz(scratch("none.npz")).empty());
}

TEST(Npy, FortranOrderIsTransposed) {
  std::string payload{"\x01\x04\x02\x05\x03\x06"};
  Tensor t = parse_npy(npy("{'descr': '|u1', 'fortran_order': True, 'shape': (2, 3), }", payload), "x");
  EXPECT_EQ(t, Tensor::of({2, 3}, {1, 2, 3, 4, 5, 6}, DType::u8));
}

TEST(Npy, BigEndianIsSwapped) {
  std::string payload("\x01\x02\xff\xfe", 4);
  Tensor t = parse_npy(npy("{'descr': '>i2', 'fortran_order': False, 'shape': (2,), }", payload), "x");
  EXPECT_EQ(t, Tensor::of({2}, {258, -2}, DType::i16));
}

TEST(Npy, BadHeaders) {
  auto message = [](const std::string& header, const std::string& payload = "") {
    return message_of([&] { parse_npy(npy(header, payload), "x"); });
  };
  EXPECT_THAT(message("{'descr': '<U4', 'fortran_order': False, 'shape': (1,), }"),
              HasSubstr("element type '<U4' is not supported"));
  EXPECT_THAT(message("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,), }"),
              HasSubstr("structured arrays"));
  EXPECT_THAT(message("{'descr': '|u1', 'fortran_order': False, 'shape': (3,), }", "ab"),
              HasSubstr("truncated"));
  EXPECT_THAT(message("{'descr': '|u1', 'fortran_order': False, 'shape': (1,), }", "ab"),
              HasSubstr("1 bytes follow"));
  EXPECT_THAT(message("{'descr': '<f8', 'fortran_order': False, 'shape': (4294967296, 4294967296), }"),
              HasSubstr("2^40"));
  EXPECT_THAT(message("{'descr': '<f8', 'fortran_order': False, 'shape': (-1,), }"), HasSubstr("malformed"));
  EXPECT_THAT(message("{'descr': '<f8', 'shape': (1,), }"), HasSubstr("lacks"));
  EXPECT_THAT(message("{'descr"), HasSubstr("malformed"));
  EXPECT_THAT(message_of([] { parse_npy("PNG", "x"); }), HasSubstr("not in .npy format"));
  EXPECT_THAT(message_of([] { parse_npy(std::string("\x93NUMPY\x01\x00\xff\xff{", 11), "x"); }),
              HasSubstr("truncated"));
}

TEST(Npz, EveryTruncationIsAnError) {
  write_npz(scratch("whole.npz"), {{"x", Tensor::of({3}, {1, 2, 3})}, {"y", Tensor::scalar(4)}});
  std::string whole = read_file(scratch("whole.npz"));
  for (size_t n = 0; n < whole.size(); n++) {
    std::ofstream(scratch("cut.npz"), std::ios::binary) << whole.substr(0, n);
    EXPECT_NE(message_of([] { read_npz(scratch("cut.npz")); }), "no error") << n;
  }
}

// Any one byte changed: either an error or the same shapes, never a crash. Payload bytes are caught by the
// checksum.
TEST(Npz, DamageIsNoticed) {
  write_npz(scratch("good.npz"), {{"x", Tensor::of({3}, {1, 2, 3})}});
  std::string good = read_file(scratch("good.npz"));
  size_t payload = good.find("\x00\x00\x80\x3f", 0, 4);
  ASSERT_NE(payload, std::string::npos);
  for (size_t i = 0; i < good.size(); i++) {
    std::string damaged = good;
    damaged[i] = static_cast<char>(damaged[i] ^ 0x5a);
    std::ofstream(scratch("damaged.npz"), std::ios::binary) << damaged;
    std::string message = message_of([] { read_npz(scratch("damaged.npz")); });
    if (i >= payload && i < payload + 12) {
      EXPECT_THAT(message, HasSubstr("damaged")) << i;
    }
  }
}

TEST(Npz, MissingFile) {
  EXPECT_THAT(message_of([] { read_npz("/nowhere/x.npz"); }),
              HasSubstr("cannot read '/nowhere/x.npz': No such file"));
  EXPECT_THAT(message_of([] { write_npz("/nowhere/x.npz", {}); }),
              HasSubstr("cannot write '/nowhere/x.npz'"));
}

// A write that fails half-way leaves the old file and nothing else. The limit on file sizes stands in for a
// full disk.
TEST(AtomicFile, FailedWriteLeavesTheOldFile) {
  std::string dir = scratch("full");
  std::filesystem::create_directories(dir);
  std::string path = dir + "/out.npz";
  write_npz(path, {{"x", Tensor::scalar(1)}});
  std::string before = read_file(path);

  rlimit saved{};
  getrlimit(RLIMIT_FSIZE, &saved);
  auto handler = std::signal(SIGXFSZ, SIG_IGN);
  rlimit small{4096, saved.rlim_max};
  setrlimit(RLIMIT_FSIZE, &small);
  std::string message = message_of([&] { write_npz(path, {{"x", Tensor({DType::f32, {4096}})}}); });
  std::string other = message_of([&] { write_atomically(path, std::string(10000, 'x')); });
  setrlimit(RLIMIT_FSIZE, &saved);
  std::signal(SIGXFSZ, handler);

  EXPECT_THAT(message, HasSubstr("cannot write"));
  EXPECT_THAT(message, HasSubstr("File too large"));
  EXPECT_THAT(other, HasSubstr("File too large"));
  EXPECT_EQ(read_file(path), before);
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(dir), {}), 1);
}

}  // namespace
}  // namespace mezzo::runtime
