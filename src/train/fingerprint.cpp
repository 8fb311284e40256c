#include "train/fingerprint.hpp"

#include <functional>

namespace rt {

std::string fingerprint(Session& s) {
  if (s.config().device != "cpu")
    return rt::format("rtrain {}, {}, {}, cuDNN {}, compiler {}, rows {:016x}", RT_VERSION, s.device_reason,
                      s.config().precision, cuda::support().cudnn, __VERSION__,
                      std::hash<std::string>{}(s.executor->rows(s.config().train.batch)));
  return rt::format("rtrain {}, {}, compiler {}, rows {:016x}", RT_VERSION, name_of(machine().isa), __VERSION__,
                    std::hash<std::string>{}(s.executor->rows(s.config().train.batch)));
}

}  // namespace rt
