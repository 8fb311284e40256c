// The emulated CUDA device, as tests steer it.
#pragma once
#include <cstddef>
#include <functional>

namespace rt::emulation {

struct Profile {
  int capability = 90;
  size_t total_bytes = size_t{1} << 32;
};
void set_profile(const Profile& profile);                // what core/cuda.hpp reports
void set_seed(unsigned seed);                            // of the order in which threads and blocks run
void set_early_copies(bool early);                       // the copy stream runs at once, where others are late
void enqueue(void* stream, std::function<void()> work);  // as a library's call would

}  // namespace rt::emulation
