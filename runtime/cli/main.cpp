// The `mezzo` command. stdout is data, stderr is messages; exit codes are those of ErrorCode and 70 for
// defects.
#include <csignal>
#include <iostream>

#include "mezzo/mezzo.h"
#include "runtime/cli/terminal.h"
#include "runtime/cli/verbs.h"
#include "runtime/data.h"

namespace mezzo::cli {
namespace {

constexpr int kUsage = static_cast<int>(ErrorCode::usage);

int usage_error(const std::string& message, const std::string& hint) {
  return report(Error(ErrorCode::usage, message, {}, hint));
}

// The parser's message for what it did not expect, with the nearest thing it knows.
int unexpected(const CLI::App& app) {
  auto chosen = app.get_subcommands();
  if (chosen.empty()) {
    auto rest = app.remaining();
    std::string word = rest.empty() ? "" : rest.front();
    bool flag = word.starts_with("-");
    std::string near = runtime::nearest_name(word, flag ? flag_names(app) : verb_names(app));
    return usage_error(concat("unknown ", flag ? "flag '" : "verb '", word, "'"),
                       near.empty() ? "see mezzo --help" : concat("did you mean '", near, "'?"));
  }
  const CLI::App* verb = chosen.front();
  auto rest = verb->remaining();
  std::string word = rest.empty() ? "" : rest.front();
  word = word.substr(0, word.find('='));
  std::string help = concat("see mezzo ", verb->get_name(), " --help");
  if (!word.starts_with("-")) return usage_error(concat("unexpected argument '", word, "'"), help);
  std::string near = runtime::nearest_name(word, flag_names(*verb));
  return usage_error(concat("unknown flag '", word, "'"),
                     near.empty() ? help : concat("did you mean '", near, "'?"));
}

int parse_error(const CLI::App& app, const CLI::ParseError& e) {
  if (e.get_exit_code() == 0) return app.exit(e);  // --help
  if (dynamic_cast<const CLI::ExtrasError*>(&e)) return unexpected(app);
  auto chosen = app.get_subcommands();
  std::string message = e.what();
  for (char& c : message)
    if (c == '\n') c = ' ';
  return usage_error(message, chosen.empty() ? "see mezzo --help"
                                             : concat("see mezzo ", chosen.front()->get_name(), " --help"));
}

int run(int argc, char** argv) {
  CLI::App app{
      "Compiles an ONNX model into one mixed-precision training step and trains it.\n"
      "  mezzo check model.onnx\n"
      "  mezzo train model.onnx --data data.npz --batch 64 --epochs 5 --optimizer adamw --out trained.onnx"};
  app.name("mezzo");
  app.set_help_flag("-h,--help", "print this help");
  app.footer(
      "Exit codes: 0 ok, 1 a check failed, 2 usage, 3 bad input, 4 unsupported, 5 out of memory, 70 "
      "internal,\n"
      "130 interrupted. `mezzo VERB --help` explains a verb.");
  Action action;
  add_inspect(app, action);
  add_check(app, action);
  add_compile(app, action);
  add_grad(app, action);
  add_train(app, action);
  add_run(app, action);
  add_opt(app, action);
  add_bench(app, action);
  add_doctor(app, action);
  add_version(app, action);
  add_completion(app, action);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    return parse_error(app, e);
  }
  if (!action) {
    std::cerr << app.help();
    return kUsage;
  }
  int code = action();
  std::cout.flush();
  if (!std::cout) return report(Error(ErrorCode::bad_input, "cannot write to standard output"));
  return code;
}

}  // namespace
}  // namespace mezzo::cli

int main(int argc, char** argv) {
  // A file size limit shall be an error of the write, not the end of the process.
  std::signal(SIGXFSZ, SIG_IGN);
  try {
    return mezzo::cli::run(argc, argv);
  } catch (const mezzo::Error& e) {
    return mezzo::cli::report(e);
  } catch (const mezzo::InternalError& e) {
    return mezzo::cli::report_internal(e.what(), e.reproducer());
  } catch (const std::bad_alloc&) {
    return mezzo::cli::report(
        mezzo::Error(mezzo::ErrorCode::out_of_memory, "out of memory", {}, "use a smaller batch"));
  } catch (const std::exception& e) {
    return mezzo::cli::report_internal(e.what(), {});
  }
}
