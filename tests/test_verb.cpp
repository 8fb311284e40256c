// What all verbs of a program have in common, on a program of two verbs, one of which has verbs of its own.
#include <doctest/doctest.h>

#include <memory>
#include <string>
#include <vector>

#include "core/check.hpp"
#include "tests/support/error_of.hpp"
#include "tools/verb.hpp"

using namespace rt;
using namespace rt::testing;

namespace {

const Verb count = {
    .name = "count",
    .help = "Exit with a number.\n\n  {0} --to 3",
    .add = [](CLI::App& command) -> std::function<int()> {
      const auto to = std::make_shared<int>(0);
      command.add_option("--to", *to);
      return [to] { return *to; };
    },
};
const Verb data = {
    .name = "data",
    .help = "Fail.",
    .add = [](CLI::App&) -> std::function<int()> { return []() -> int { fail(ExitCode::data, "a damaged file"); }; },
};
const Verb memory = {
    .name = "memory",
    .help = "Ask for too much.",
    .add = [](CLI::App&) -> std::function<int()> { return []() -> int { throw std::bad_alloc(); }; },
};
const Verb* const below[] = {&count, &data, &memory};
const Verb group = {.name = "group", .help = "Verbs.", .verbs = below};
const Verb* const top[] = {&count, &group};
const Verb program = {.name = "program", .help = "For tests.", .verbs = top};

struct CommandLine {
  explicit CommandLine(std::vector<std::string> list) : words(std::move(list)) {
    for (std::string& word : words) argv.push_back(word.data());
  }
  std::vector<std::string> words;
  std::vector<char*> argv;
};

int run(const std::vector<std::string>& words) {
  CommandLine line(words);
  line.argv.insert(line.argv.begin(), line.words[0].data());  // the program's own name, which nobody reads
  return run_program(program, static_cast<int>(line.argv.size()), line.argv.data());
}

std::string refusal(const std::vector<std::string>& words) {
  CommandLine line(words);
  return error_of([&] { check_verb(program, line.argv); }, ExitCode::usage);
}

}  // namespace

TEST_CASE("verb: the one that the words name runs, and its result is the exit code") {
  CHECK(run({"count"}) == 0);
  CHECK(run({"count", "--to", "7"}) == 7);
  CHECK(run({"group", "count", "--to", "5"}) == 5);
}

TEST_CASE("verb: errors become exit codes") {
  CHECK(run({"group", "data"}) == 3);
  CHECK(run({"group", "memory"}) == 4);
  CHECK(run({"cuont"}) == 2);
  CHECK(run({"count", "--two", "2"}) == 2);
  CHECK(run({"count", "--to", "many"}) == 2);
  CHECK(run({"count", "more"}) == 2);
  CHECK(run({"group"}) == 2);
  CHECK(run({"--help"}) == 0);
  CHECK(run({"group", "count", "--help"}) == 0);
}

TEST_CASE("verb: an unknown one is refused with the nearest and all known ones, on each level") {
  CHECK(refusal({"cuont", "--to", "3"}) == "there is no verb 'cuont'; did you mean count? program knows count, group");
  CHECK(refusal({"group", "dato"}) ==
        "there is no verb 'dato'; did you mean data? program group knows count, data, memory");
  CHECK(refusal({"group", "data", "anything"}).empty());
  CHECK(refusal({"--help"}).empty());
  CHECK(refusal({}).empty());
}
