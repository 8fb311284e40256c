#include "tools/verb.hpp"

#include <algorithm>
#include <new>
#include <string_view>

#include "core/check.hpp"
#include "core/edit_distance.hpp"
#include "core/log.hpp"

namespace rt {
namespace {

// Adds what `verb` takes to `command`. `code` gets the exit code of what ran.
void add(CLI::App& command, const Verb& verb, const std::string& words, int& code) {
  if (!verb.verbs.empty()) command.require_subcommand(1);
  for (const Verb* v : verb.verbs) {
    const std::string more = words + " " + v->name;
    CLI::App* app = command.add_subcommand(v->name, rt::vformat(v->help, fmt::make_format_args(more)));
    add(*app, *v, more, code);
  }
  if (verb.add) command.callback([run = verb.add(command), &code] { code = run(); });
}

void check_verb(const Verb& parent, std::span<char*> words, const std::string& called) {
  if (parent.rewrite) parent.rewrite(words);
  if (parent.verbs.empty() || words.empty() || words[0][0] == '-') return;
  const std::string_view word = words[0];
  const auto of_that_name = [&](const Verb* v) { return v->name == word; };
  const auto found = std::find_if(parent.verbs.begin(), parent.verbs.end(), of_that_name);
  if (found != parent.verbs.end()) return check_verb(**found, words.subspan(1), called + " " + (*found)->name);
  const auto nearer = [&](const Verb* a, const Verb* b) {
    return edit_distance(word, a->name) < edit_distance(word, b->name);
  };
  const Verb* nearest = *std::min_element(parent.verbs.begin(), parent.verbs.end(), nearer);
  std::vector<std::string_view> names;
  for (const Verb* v : parent.verbs) names.push_back(v->name);
  fail(ExitCode::usage, "there is no verb '{}'; did you mean {}? {} knows {}", word, nearest->name, called,
       joined(names, ", "));
}

int parse_and_run(const Verb& program, int argc, char** argv) {
  check_verb(program, {argv + 1, argv + argc});
  CLI::App app{program.help, program.name};
  app.set_version_flag("--version", RT_VERSION);
  int code = 0;
  add(app, program, program.name, code);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? 0 : static_cast<int>(ExitCode::usage);
  }
  return code;
}

}  // namespace

void check_verb(const Verb& program, std::span<char*> words) { check_verb(program, words, program.name); }

int run_program(const Verb& program, int argc, char** argv) {
  try {
    return parse_and_run(program, argc, argv);
  } catch (const Error& e) {
    log_status("");
    log_error("{}", e.what());
    return static_cast<int>(e.code());
  } catch (const std::bad_alloc&) {
    log_error("out of memory; a smaller train.batch needs less");
    return static_cast<int>(ExitCode::device);
  } catch (const std::exception& e) {
    log_status("");
    log_error("{}", e.what());
    return static_cast<int>(ExitCode::runtime);
  }
}

}  // namespace rt
