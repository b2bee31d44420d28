// mezzo completion bash, mezzo version: what the command line knows about itself.
#include <iostream>

#include "mezzo/mezzo.h"
#include "runtime/cli/verbs.h"

namespace mezzo::cli {
namespace {

std::string join(const std::vector<std::string>& words) {
  std::string out;
  for (auto& w : words) out += (out.empty() ? "" : " ") + w;
  return out;
}

// Verbs, then the verb's flags, the words a flag takes, and file names for everything else.
std::string bash_script(const CLI::App& app) {
  std::string flags, values;
  for (const CLI::App* verb : app.get_subcommands({})) {
    flags += concat("    ", verb->get_name(), ") flags=\"", join(flag_names(*verb)), "\" ;;\n");
  }
  struct Choice {
    const char *flag, *words;
  };
  for (const Choice& c : {Choice{"--precision", "fp32 bf16 fp16"}, Choice{"--numerics", "strict excess"},
                          Choice{"--device", "cpu cuda reference"},
                          Choice{"--loss", "cross_entropy mse l1 bce_with_logits output"},
                          Choice{"--optimizer", "sgd adam adamw"}, Choice{"--mode", "train eval"},
                          Choice{"--loss-scale", "dynamic none"}})
    values +=
        concat("    ", c.flag, ") COMPREPLY=($(compgen -W \"", c.words, "\" -- \"$word\")); return ;;\n");
  return concat(
      "# bash completion for mezzo; written by `mezzo completion bash`.\n"
      "_mezzo() {\n"
      "  local word=\"${COMP_WORDS[COMP_CWORD]}\" previous=\"${COMP_WORDS[COMP_CWORD-1]}\" flags=\"--help\"\n"
      "  COMPREPLY=()\n"
      "  if [ \"$COMP_CWORD\" -eq 1 ]; then\n"
      "    COMPREPLY=($(compgen -W \"",
      join(verb_names(app)),
      " --help\" -- \"$word\")); return\n"
      "  fi\n"
      "  case \"$previous\" in\n",
      values,
      "  esac\n"
      "  case \"${COMP_WORDS[1]}\" in\n",
      flags,
      "  esac\n"
      "  if [[ \"$word\" == -* ]]; then COMPREPLY=($(compgen -W \"$flags\" -- \"$word\"))\n"
      "  else COMPREPLY=($(compgen -f -- \"$word\")); fi\n"
      "}\n"
      "complete -o filenames -F _mezzo mezzo\n");
}

}  // namespace

std::vector<std::string> verb_names(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::App* verb : app.get_subcommands({})) names.push_back(verb->get_name());
  return names;
}

std::vector<std::string> flag_names(const CLI::App& verb) {
  std::vector<std::string> names;
  for (const CLI::Option* option : verb.get_options())
    for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
  return names;
}

void add_version(CLI::App& app, Action& action) {
  CLI::App* verb = app.add_subcommand("version", "print the version");
  verb->callback([&action] {
    action = [] {
      std::cout << "mezzo " << version() << '\n';
      return 0;
    };
  });
}

void add_completion(CLI::App& app, Action& action) {
  CLI::App* verb =
      app.add_subcommand("completion", "print a completion script; source it in the shell's start-up file");
  auto shell = std::make_shared<std::string>();
  verb->add_option("SHELL", *shell, "bash")->required()->check(CLI::IsMember({"bash"}));
  verb->callback([&app, &action, shell] {
    action = [&app] {
      std::cout << bash_script(app);
      return 0;
    };
  });
}

}  // namespace mezzo::cli
