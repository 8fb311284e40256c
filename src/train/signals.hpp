// Ctrl-C and SIGTERM ask the loop to save and stop. The same signal once more leaves at once; the other one, which a
// batch system may send right behind the first, changes nothing.
#pragma once

namespace rt {

void install_stop_handlers();
int stop_signal();  // the first signal that was received, or 0; loops poll this
inline bool asked_to_stop() { return stop_signal() != 0; }

}  // namespace rt
