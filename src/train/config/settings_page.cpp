#include "train/config/settings_page.hpp"

#include <sstream>

#include "core/format.hpp"
#include "train/config/config_keys.hpp"

namespace rt {
namespace {

constexpr size_t width = 120;

constexpr std::string_view head = R"(# Settings

`rtrain config --markdown` prints this page from the table in `src/train/config/config_keys.cpp`.

A setting is written `key=value` on the command line, where text needs no quotes, or stands in a TOML file (`-c FILE`;
see `configs/`). The command line wins over the file. An unknown key is an error that names the nearest one.

Where the default is `auto`, the value is chosen for the machine and the data: `rtrain config DIR --origin` shows what
was chosen, and why. `rtrain config` lists all keys with their values.
)";

constexpr std::string_view about_switches = R"(
Optimisations can be switched one by one. Each is tested to give the same numbers with and without, up to rounding where
it changes the order of sums.
)";

// What Markdown would take for a cell's end, a tag, emphasis or a link.
std::string cell(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (std::string_view("|<*_[\\").find(c) != std::string_view::npos) out += '\\';
    out += c;
  }
  return out;
}

// Words of a text, filled into lines: `first` begins the first one, spaces of that length the others.
std::string filled(const std::string& first, std::string_view text) {
  std::istringstream words{std::string(text)};
  std::string out, line = first;
  for (std::string word; words >> word;) {
    if (line.size() + 1 + word.size() > width) {
      out += line + "\n";
      line = std::string(first.size(), ' ');
    }
    line += (line.empty() || line.back() == ' ' ? "" : " ") + word;
  }
  return out + line + "\n";
}

std::string table_of(std::string_view key) {
  const size_t dot = key.rfind('.');
  return std::string(key.substr(0, dot == std::string_view::npos ? 0 : dot));
}

std::string default_of(const Key& key) {
  if (key.automatic) return "auto";
  const std::string text = value_text({}, key);
  return text == "\"\"" ? "(empty)" : text.front() == '"' ? text.substr(1, text.size() - 2) : text;
}

std::string row(const Key& key) {
  std::string allowed = allowed_text(key);
  for (const std::string_view article : {"one of ", "a "})  // a table's cell does without
    if (allowed.starts_with(article)) allowed.erase(0, article.size());
  return rt::format("| `{}` | {} | {} | {} |\n", key.name, cell(default_of(key)), cell(key.help), cell(allowed));
}

std::string notes(const Key& key) {
  if (!key.details.empty()) return filled("- ", rt::format("`{}`: {}", key.name, key.details));
  if (key.on.empty()) return "";
  return rt::format("- `{}`\n", key.name) + filled("  - ", rt::format("true: {}", key.on)) +
         filled("  - ", rt::format("false: {}", key.off));
}

std::string section(const std::string& table) {
  std::string rows, more;
  for (const Key& key : config_keys()) {
    if (table_of(key.name) != table) continue;
    rows += row(key);
    more += notes(key);
  }
  return rt::format("\n## {}\n{}\n| key | default | meaning | allowed |\n|---|---|---|---|\n{}{}",
                    table.empty() ? "Top level" : "`" + table + "`", table == "optimize" ? about_switches : "", rows,
                    more.empty() ? "" : "\n" + more);
}

std::string names(OnResume kind) {
  std::vector<std::string> list;
  for (const Key& key : config_keys())
    if (key.on_resume == kind) list.push_back(rt::format("`{}`", key.name));
  return joined(list, ", ");
}

}  // namespace

std::string settings_page() {
  std::string page(head);
  std::string before = "none yet";
  for (const Key& key : config_keys()) {
    const std::string table = table_of(key.name);
    if (table != before) page += section(table);
    before = table;
  }
  const std::string resuming = rt::format(
      "`rtrain train --resume RUN key=value` may change {}, and make {} longer. Changing any other key is an error.",
      names(OnResume::free), names(OnResume::longer));
  return page + "\n## Resuming\n\n" + filled("", resuming);
}

}  // namespace rt
