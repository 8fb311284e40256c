// CIFAR-10 and CIFAR-100, binary version. Records without a header: the label (CIFAR-100: coarse, then fine), then the
// planes R, G, B of 32x32 bytes, row by row. A file may hold any whole number of records, because `rtrain synth` and
// people write the format too; the real CIFAR-10 (five batches, the usual class names in batches.meta.txt) must have
// its 10,000 records per file. A whole set is read into memory: 154 MB for the real ones.
#pragma once
#include <filesystem>
#include <string>

#include "data/dataset.hpp"

namespace rt {

enum class CifarKind { cifar10, cifar100 };

// The folder that holds binary files of this kind: dir, or the sub-folder that the archive unpacks to. Empty: neither
// does.
std::filesystem::path find_cifar(CifarKind kind, const std::filesystem::path& dir);

// Reads and checks everything in a folder that find_cifar gave. Throws Error(data) with the file, what it has and
// should have.
DatasetPair read_cifar(CifarKind kind, const std::filesystem::path& folder);

// One sentence: what dir holds instead of what `source` asks for, and what to do about it.
std::string explain_no_cifar(const std::string& source, const std::filesystem::path& dir);

}  // namespace rt
