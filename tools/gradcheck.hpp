#pragma once
#include <string>
#include <vector>
namespace rt { inline int run_gradcheck(const std::vector<std::string>&, bool) { return 1; } }
