#pragma once
#include <string>
namespace rt { inline int run_op_bench(const std::string&, bool) { return 1; } }
