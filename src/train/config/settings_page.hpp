// docs/settings.md: the table of keys as a page for people.
#pragma once
#include <string>

namespace rt {

std::string settings_page();  // Markdown

}  // namespace rt
