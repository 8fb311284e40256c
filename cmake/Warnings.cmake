# One interface target that every target of ours links: warnings, and the floating-point rules of the project. Warnings
# are errors in CI's presets only: a newer compiler warns of more, and a user's build must not fail for it.
add_library(rt_options INTERFACE)
target_compile_features(rt_options INTERFACE cxx_std_20)
target_include_directories(rt_options INTERFACE ${PROJECT_SOURCE_DIR}/src)
set(rt_warnings -Wall -Wextra -Wshadow -Wno-unknown-pragmas -Wno-missing-field-initializers)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  list(APPEND rt_warnings -Wno-restrict)  # false alarms on std::string concatenation in GCC 12
elseif(CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
  list(APPEND rt_warnings -Wcomma)
endif()
if(RTRAIN_WERROR)
  list(APPEND rt_warnings -Werror)
endif()
# No contraction outside the vector kernels: one expression has one value, whatever the compiler and optimisation level.
target_compile_options(rt_options INTERFACE "$<$<COMPILE_LANGUAGE:CXX>:${rt_warnings};-ffp-contract=off>")
target_compile_definitions(rt_options INTERFACE RT_VERSION="${PROJECT_VERSION}")
