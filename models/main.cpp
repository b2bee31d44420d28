// mezzo-models NET OUT.onnx [sizes]: writes a network with random weights.
// mezzo-models split|digits_folder|passages FILES: writes the data they are tried on.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <exception>
#include <functional>
#include <map>
#include <memory>

#include "models/data_files.h"
#include "models/nets.h"

namespace {

using namespace mezzo;
using models::NetOptions;
using models::OnnxBuilder;

struct Net {
  std::function<void(OnnxBuilder&, const NetOptions&)> build;
  std::vector<std::string> flags;  // the sizes it reads
};

Net fixed(void (*build)(OnnxBuilder&)) {
  return {[build](OnnxBuilder& b, const NetOptions&) { build(b); }, {}};
}

const std::map<std::string, Net>& nets() {
  static const std::vector<std::string> text = {"--layers", "--hidden",  "--heads",  "--seq",
                                                "--vocab",  "--dropout", "--classes"};
  static const std::map<std::string, Net> all = {
      {"mlp", fixed(models::mlp)},
      {"lenet", fixed(models::lenet)},
      {"digits_mlp", fixed(models::digits_mlp)},
      {"digits_cnn", fixed(models::digits_cnn)},
      {"resnet18", {models::resnet18, {"--image", "--classes", "--width"}}},
      {"resnet50", {models::resnet50, {"--image", "--classes", "--width"}}},
      {"mobilenet_v2", {models::mobilenet_v2, {"--image", "--classes", "--width", "--dropout"}}},
      {"vgg16", {models::vgg16, {"--image", "--classes", "--width", "--hidden", "--dropout"}}},
      {"vit_b16",
       {models::vit_b16, {"--image", "--classes", "--layers", "--hidden", "--heads", "--dropout"}}},
      {"bert_base", {models::bert_base, text}},
      {"gpt2", {models::gpt2, {text.begin(), text.end() - 1}}}};
  return all;
}

void add_net(CLI::App& app, const std::string& name, const Net& net) {
  struct Arguments {
    std::string out;
    uint64_t seed = 1;
    int opset = models::kDefaultOpset;
    NetOptions sizes;
  };
  auto a = std::make_shared<Arguments>();
  CLI::App* verb = app.add_subcommand(name, "writes this network");
  verb->add_option("OUT", a->out, "the .onnx file")->required();
  verb->add_option("--seed", a->seed, "of the weights")->capture_default_str();
  verb->add_option("--opset", a->opset, "of the file")->check(CLI::Range(17, 23))->capture_default_str();
  const std::map<std::string, std::optional<int64_t>*> sizes = {
      {"--image", &a->sizes.image},   {"--classes", &a->sizes.classes}, {"--width", &a->sizes.width},
      {"--layers", &a->sizes.layers}, {"--hidden", &a->sizes.hidden},   {"--heads", &a->sizes.heads},
      {"--seq", &a->sizes.sequence},  {"--vocab", &a->sizes.vocabulary}};
  for (const std::string& flag : net.flags) {
    if (flag == "--dropout")
      verb->add_option(flag, a->sizes.dropout)->check(CLI::Range(0.0, 0.99));
    else
      verb->add_option(flag, *sizes.at(flag))->check(CLI::Range(1, 1 << 20));
  }
  verb->callback([a, name, build = net.build] {
    OnnxBuilder builder(name, a->seed, a->opset);
    build(builder, a->sizes);
    builder.write(a->out);
  });
}

void add_data(CLI::App& app) {
  struct Arguments {
    std::vector<std::string> files;
    int64_t sequence = 32;
  };
  auto a = std::make_shared<Arguments>();
  auto add = [&](const char* name, const char* help, int least, int most, std::function<void()> run) {
    CLI::App* verb = app.add_subcommand(name, help);
    verb->add_option("FILES", a->files)->required()->expected(least, most);
    verb->callback(std::move(run));
    return verb;
  };
  add("split", "DIGITS.npz TRAIN.npz TEST.npz: the digits as data files", 3, 3,
      [a] { models::split_digits(a->files[0], a->files[1], a->files[2]); });
  add("digits_folder", "DIGITS.npz FOLDER: the digits as JPEG files, a folder per class", 2, 2,
      [a] { models::digits_folder(a->files[0], a->files[1]); });
  CLI::App* verb = add(
      "passages", "TEXT... TRAIN.npz TEST.npz: passages of texts; prints the size of the vocabulary", 4, 64,
      [a] {
        const std::string test = a->files.back(), train = a->files[a->files.size() - 2];
        a->files.resize(a->files.size() - 2);
        std::printf("%lld\n", static_cast<long long>(models::passages(a->files, a->sequence, train, test)));
      });
  verb->add_option("--seq", a->sequence, "tokens of a passage")
      ->check(CLI::Range(4, 4096))
      ->capture_default_str();
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Networks with random weights, and the data they are tried on.", "mezzo-models");
  app.require_subcommand(1);
  for (auto& [name, net] : nets()) add_net(app, name, net);
  add_data(app);
  try {
    app.parse(argc, argv);
    return 0;
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? 0 : 2;
  } catch (const std::exception& e) {
    std::fprintf(stderr, "error: %s\n", e.what());
    return 3;
  }
}
