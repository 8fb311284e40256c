#include "train/run_length.hpp"

namespace rt {

RunLength run_length(const Session& s) {
  const Config& c = s.config();
  const int64_t images = s.train_images(), batch = c.train.batch;
  const int64_t batches = c.train.drop_last ? images / batch : (images + batch - 1) / batch;
  if (batches == 0)
    fail(ExitCode::usage,
         "{} training images do not fill one batch of {}: choose a smaller train.batch, or train.drop_last=false",
         images, batch);
  const int64_t per_epoch = (batches + c.train.accumulate - 1) / c.train.accumulate;
  return {.steps_per_epoch = per_epoch, .steps = c.train.steps > 0 ? c.train.steps : c.train.epochs * per_epoch};
}

Schedule make_schedule(const Session& s) {
  const RunLength length = run_length(s);
  return Schedule(s.config().schedule, s.config().optimizer.lr, length.steps_per_epoch, length.steps);
}

}  // namespace rt
