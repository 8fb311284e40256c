// Ctrl-C and SIGTERM ask the loop to save and stop; a second Ctrl-C leaves at once.
#pragma once

namespace rt {

void install_stop_handlers();
int stop_signal();  // the signal that was received, or 0; loops poll this

}  // namespace rt
