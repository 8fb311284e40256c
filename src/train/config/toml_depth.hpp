// How deep a TOML text nests, measured before toml++ sees it: its parser recurses once for every part of a dotted key
// and every bracket, and a hostile file would exhaust the stack.
#pragma once
#include <string_view>

namespace rt {

// The line on which a key has more than max_depth parts or brackets nest deeper than that; 0 if there is none.
// Strings and comments do not count.
int too_deep_line(std::string_view text, int max_depth);

}  // namespace rt
