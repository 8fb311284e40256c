// What a survey of the training images gave, kept beside the run (RUN/data.json), so that a resumed run does not read
// all of a large set again before its first step. It is taken for true while the files that the images lie in have the
// names, sizes, mtimes and ctimes (in nanoseconds) that they had when the set was opened for that survey.
//
// Not noticed: a change that the file system does not see (a failing disk), and one that keeps the size and falls into
// the same tick of the file system's clock (some milliseconds) as the one before it.
#pragma once
#include <optional>
#include <string>

#include "data/survey.hpp"

namespace rt {

// Replaces the file atomically. Nothing is kept of a set that lies in no files.
void keep_survey(const std::string& path, const Survey& survey, const Dataset& data);

// Empty: there is none, it cannot be read, or the set or a file of it is another than it was.
std::optional<Survey> kept_survey(const std::string& path, const Dataset& data);

}  // namespace rt
