// What this program was built from (cmake/BuildId.cmake writes the values, in a file of their own).
#pragma once

namespace rt::build {

const char* commit();   // "825ef1d", with a + where files differed from it; "unknown" outside a git checkout
const char* kernels();  // a hash of the kernels' sources and their compilation

}  // namespace rt::build
