# Included: adds rt_build, which knows what the program was built from (core/build.hpp). Run as a script (before every
# build): writes its one source file where that changed, so that a new commit recompiles nothing else.
if(NOT CMAKE_SCRIPT_MODE_FILE)
  set(rt_build_source ${PROJECT_BINARY_DIR}/build_id.cpp)
  set(flags "${CMAKE_CXX_FLAGS} ${CMAKE_CXX_FLAGS_${CMAKE_BUILD_TYPE}} ${RTRAIN_SANITIZE}")
  foreach(isa ${RT_ISAS})
    string(APPEND flags " ${RT_ISA_FLAGS_${isa}}")
  endforeach()
  add_custom_target(rt_build_id BYPRODUCTS ${rt_build_source} VERBATIM
    COMMAND ${CMAKE_COMMAND} -DROOT=${PROJECT_SOURCE_DIR} -DOUT=${rt_build_source} "-DFLAGS=${flags}"
            -P ${CMAKE_CURRENT_LIST_FILE})
  add_library(rt_build STATIC ${rt_build_source})
  add_dependencies(rt_build rt_build_id)
  target_link_libraries(rt_build PRIVATE rt_options)
  return()
endif()

cmake_minimum_required(VERSION 3.25)
set(commit "")
find_program(git git)
if(git AND EXISTS ${ROOT}/.git)
  set(ENV{GIT_OPTIONAL_LOCKS} 0)  # only looks
  execute_process(COMMAND ${git} -C ${ROOT} describe --always --dirty=+ --exclude=*
                  OUTPUT_VARIABLE commit OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
endif()
if(NOT commit AND "$ENV{RTRAIN_COMMIT}" MATCHES "^[A-Za-z0-9_.+-]+$")  # a copy without git can be told what it is
  set(commit $ENV{RTRAIN_COMMIT})
endif()
if(NOT commit)
  set(commit unknown)
endif()
file(GLOB_RECURSE sources ${ROOT}/src/kernels/*.cpp ${ROOT}/src/kernels/*.hpp)
list(FILTER sources EXCLUDE REGEX "/kernels/cases/")  # no kernels
set(hashes "${FLAGS}")
foreach(source ${sources})  # in alphabetical order
  file(SHA256 ${source} hash)
  string(APPEND hashes ${hash})
endforeach()
string(SHA256 kernels "${hashes}")
string(SUBSTRING ${kernels} 0 12 kernels)
set(text "#include \"core/build.hpp\"\n\nnamespace rt::build {\nconst char* commit() { return \"${commit}\"; }
const char* kernels() { return \"${kernels}\"; }\n}\n")
set(before "")
if(EXISTS ${OUT})
  file(READ ${OUT} before)
endif()
if(NOT text STREQUAL before)
  file(WRITE ${OUT} "${text}")
endif()
