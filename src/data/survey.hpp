// What has to be known of a whole set before it is trained on, from one pass over it: a checksum, which tells whether
// a set is the one that a run was started on, and the statistics to normalise by.
#pragma once
#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "data/dataset.hpp"

namespace rt {

struct Survey {
  // It depends on every byte of every image, every label, and their order, by XXH3-64:
  //   by_sample  "xxh3p1:" and 16 hexadecimal digits: each image is hashed with its label as the seed, then the list of
  //              these hashes (64 bits each, little-endian). Any number of threads can share the work.
  //   chained    16 hexadecimal digits: the hash of each image is the seed of the next (times 31, plus the label), one
  //              image after the other. What runs on CIFAR have always recorded; for sets of one image size.
  std::string checksum;
  // Mean and population standard deviation of every pixel of the set, at least 1/255 (a constant channel must not
  // divide by 0). On the real CIFAR sets this gives the published constants to all their digits, so there is no table
  // of them.
  Normalisation statistics;
};

// The same bits for any number of threads. Empty: stop(), which several threads call, was true. Throws what reading a
// sample throws, with its name in front; Error(runtime) for an empty set.
std::optional<Survey> survey(const Dataset& data, int64_t threads, const std::function<bool()>& stop = {});

}  // namespace rt
