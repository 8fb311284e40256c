// What a misspelt word was meant to be.
#pragma once
#include <cstddef>
#include <string_view>

namespace rt {

// Levenshtein's distance: how many letters must be put in, left out or replaced to make one of the other.
size_t edit_distance(std::string_view a, std::string_view b);

}  // namespace rt
