// The runner of the passes: order, dumps that reproduce each other, reproducers, options as text.
#include "passes/pipeline.h"

#include <gmock/gmock.h>

#include <filesystem>

#include "ir/build.h"
#include "ir/debug.h"
#include "ir/module_file.h"
#include "ir/op.h"
#include "passes/option_text.h"

namespace mezzo::passes {
namespace {

namespace fs = std::filesystem;

// An empty folder of this test's own.
fs::path fresh_folder() {
  auto* info = testing::UnitTest::GetInstance()->current_test_info();
  fs::path folder =
      fs::path(testing::TempDir()) / concat("mezzo-", info->test_suite_name(), "-", info->name());
  fs::remove_all(folder);
  fs::create_directories(folder);
  return folder;
}

Graph linear_net() {
  return ir::parse(R"(graph main {
  input %x : f32[8,4]
  state $w : f32[3,4]
  state $b : f32[3]
  %0 = Gemm(%x, $w, $b) transB=1 : f32[8,3]  ; fc
  %1 = Constant {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23} : f32[8,3]
  %2 = Sub(%0, %1) : f32[8,3]  ; offset
  %3 = Softmax(%2) : f32[8,3]  ; softmax
  %4 = ReduceMean(%3) keepdims=0 : f32[]  ; mean
  output loss = %4
})");
}

Options training_options() {
  return read_options("low=bf16 loss_scale=dynamic optimizer=adamw lr=2e-05 clip_norm=1");
}

TEST(Pipeline, NamesAreUnique) {
  std::set<std::string_view> names;
  for (const PassRow& row : pipeline()) EXPECT_TRUE(names.insert(row.name).second) << row.name;
  EXPECT_THROW(find_pass("fuze"), Error);
}

TEST(Pipeline, EveryDumpParsesBackAndItsPassReproducesIt) {
  fs::path folder = fresh_folder();
  Options options = training_options();
  run_pipeline(linear_net(), options, {.dump_dir = folder.string()});
  std::vector<fs::path> dumps;
  for (auto& entry : fs::directory_iterator(folder))
    if (entry.path().extension() == ".ir") dumps.push_back(entry.path());
  std::sort(dumps.begin(), dumps.end());
  ASSERT_GT(dumps.size(), 6u);
  EXPECT_EQ(dumps[0].filename(), "00-import.ir");
  EXPECT_EQ(dumps[1].filename(), "02-assign_precision.ir");
  for (size_t i = 1; i < dumps.size(); i++) {
    ir::ModuleFile before = ir::read_module(dumps[i - 1].string()),
                   after = ir::read_module(dumps[i].string());
    Options read = options_of_comments(before.comments);
    EXPECT_EQ(write_options(read), write_options(options));
    run_pass(before.graph, find_pass(dumps[i].stem().string().substr(3)), read);
    EXPECT_EQ(print(before.graph), print(after.graph)) << dumps[i];
  }
}

TEST(Pipeline, ObserverSeesEveryPassAndWhetherItChangedAnything) {
  std::vector<std::string> seen;
  int unchanged = 0;
  RunOptions run;
  run.training = false;
  run.last = "cse";
  run.observer = [&](const PassEvent& e) {
    seen.emplace_back(e.pass);
    unchanged += !e.changed;
    EXPECT_EQ(print(ir::parse(e.text, e.tensors)), e.text);
  };
  run_pipeline(linear_net(), {}, run);
  EXPECT_THAT(seen, testing::ElementsAre("import", "recognize", "assign_precision", "catch_faults", "expand",
                                         "simplify", "fold_constants", "cse"));
  EXPECT_GT(unchanged, 0);
}

TEST(Pipeline, AccumulationMakesAWindowGraph) {
  Options options = training_options();
  options.accumulate = 4;
  std::vector<std::string> windows;
  RunOptions run;
  run.last = "scale_loss";
  run.observer = [&](const PassEvent& e) {
    if (e.graph == "window") windows.emplace_back(e.pass);
  };
  StepGraphs graphs = run_pipeline(linear_net(), options, run);
  ASSERT_TRUE(graphs.window.has_value());
  EXPECT_THAT(windows, testing::ElementsAre("accumulate", "scale_loss"));
  verify(*graphs.window);
  EXPECT_FALSE(run_pipeline(linear_net(), training_options(), run).window.has_value());
}

TEST(Pipeline, DefectsLeaveAReproducer) {
  PassRow throws{"broken", [](Graph&, const Options&) { throw std::out_of_range("no such thing"); }};
  PassRow spoils{"spoiling", [](Graph& g, const Options&) {
                   for (auto& node : g.nodes())
                     if (is_kernel(*node) || node->has_attr("transB")) node->set_attr("transB", int64_t{0});
                 }};
  for (const PassRow& row : {throws, spoils}) {
    Graph graph = linear_net();
    try {
      run_pass(graph, row, training_options(), {.reproducer_dir = fresh_folder().string()});
      FAIL();
    } catch (const InternalError& e) {
      EXPECT_THAT(e.what(), testing::HasSubstr(concat("pass ", row.name, ": ")));
      EXPECT_THAT(e.what(), testing::HasSubstr(concat("mezzo opt ", e.reproducer(), " --pass ", row.name)));
      ir::ModuleFile file = ir::read_module(e.reproducer());
      EXPECT_EQ(print(file.graph), print(linear_net()));
      EXPECT_EQ(write_options(options_of_comments(file.comments)), write_options(training_options()));
    }
  }
  PassRow refuses{"refusing",
                  [](Graph&, const Options&) { throw Error(ErrorCode::unsupported, "not that"); }};
  Graph graph = linear_net();
  EXPECT_THROW(run_pass(graph, refuses, {}), Error);
}

TEST(OptionText, ComesBack) {
  const char* text =
      "low=f16 loss_scale=fixed scale_init=1024 scale_interval=5 optimizer=sgd lr=0.1 momentum=0.9 "
      "nesterov=true schedule=multi_step warmup=7 warmup_start=0.5 milestones=30,60 gamma=0.2 "
      "clip_norm=0.5 accumulate=3 samples=12 gradient_outputs=true channels_last=false "
      "numerics=excess pin=f32:\"a \\\"b\\\" "
      "*\"";
  Options options = read_options(text);
  EXPECT_EQ(options.overrides.at(0).match, "a \"b\" *");
  EXPECT_EQ(options.optimizer->momentum, 0.9);
  EXPECT_EQ(write_options(options), text);
  EXPECT_EQ(write_options({}), "");
  EXPECT_THROW(read_options("hight=3"), Error);
  EXPECT_THROW(read_options("lr=fast"), Error);
  EXPECT_THROW(read_options("low=f32"), Error);
}

TEST(ModuleFile, KeepsLargeConstantsBesideIt) {
  fs::path folder = fresh_folder();
  Graph graph;
  for (ir::DType dtype : {ir::DType::f32, ir::DType::bf16, ir::DType::u16, ir::DType::boolean}) {
    ir::Tensor t({dtype, {5, 7}});
    for (int64_t i = 0; i < t.count(); i++) t.set_int(i, i);
    graph.outputs.push_back({std::string(name(dtype)), graph.constant(t)});
  }
  ir::TensorMap tensors;
  std::string text = print(graph, {}, &tensors);
  std::string path = (folder / "m.ir").string();
  ir::write_module(path, "# one\n#two\n" + text, tensors);
  ir::ModuleFile back = ir::read_module(path);
  EXPECT_EQ(back.comments, "one\ntwo\n");
  EXPECT_EQ(print(back.graph), text);
  for (const ir::Output& o : graph.outputs)
    EXPECT_TRUE(*ir::constant_of(o.value) == *ir::constant_of(back.graph.find_output(o.name)));

  std::string damaged = (folder / (tensors.begin()->first + ".npy")).string();
  ir::Tensor other = ir::read_npy(damaged);
  other.set_int(3, 9);
  ir::write_npy(damaged, other);
  EXPECT_THROW(ir::read_module(path), Error);
  fs::resize_file(damaged, 40);
  EXPECT_THROW(ir::read_module(path), Error);
  fs::remove(damaged);
  EXPECT_THROW(ir::read_module(path), Error);
  EXPECT_THROW(ir::read_module((folder / "none.ir").string()), Error);
}

TEST(Debug, ReadsFlagsAndSettings) {
  ir::Debug debug("passes,dump=/tmp/x,,stop=fuse");
  EXPECT_TRUE(debug.has("passes"));
  EXPECT_FALSE(debug.has("time"));
  EXPECT_EQ(debug.get("dump"), "/tmp/x");
  EXPECT_EQ(debug.get("stop"), "fuse");
  EXPECT_EQ(debug.get("passes"), "");
}

}  // namespace
}  // namespace mezzo::passes
