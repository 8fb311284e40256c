// Label-smoothed softmax cross-entropy, mean over the batch, as one op (Szegedy et al., 2016; PyTorch's convention):
//   target = (1-s) * onehot(label) + s/K,   loss = mean over n of  -sum over k of target[k] * log softmax(logits[n])[k]
// logits [N,K], labels [N] i32 in 0..K-1, loss [] (a scalar); loss and lse are f32 where the logits are halves.
#pragma once
#include "core/tape.hpp"

namespace rt {

namespace kinds {
// lse [N]: log of the sum of exponentials. correct [2] i32: samples whose label is the best, and among the best five;
// of equal logits the lower index ranks first, a NaN is never correct.
inline constexpr Kind cross_entropy_forward{"cross_entropy.forward: logits labels -> loss lse correct"};
inline constexpr Kind cross_entropy_backward{"cross_entropy.backward: logits labels lse dloss -> dlogits"};
// Both, by a rule of fusion: a training step knows dloss before it knows the loss. The same bits, and lse stays inside.
inline constexpr Kind cross_entropy_with_gradient{
    "cross_entropy.with_gradient: logits labels dloss -> loss correct dlogits"};
}  // namespace kinds

struct CrossEntropy {
  Var loss, correct;
};
CrossEntropy cross_entropy(Tape& tape, Var logits, Var labels, double label_smoothing);

double label_smoothing_of(Ops ops);

namespace cpu::reference {
void cross_entropy_forward(const Args& a);
void cross_entropy_backward(const Args& a);
void cross_entropy_with_gradient(const Args& a);
}  // namespace cpu::reference

namespace cuda {  // f32, f16, bf16; a label outside 0..K-1 makes the loss a NaN
void cross_entropy_forward(const Args& a);
size_t cross_entropy_workspace(const Problem& problem);  // of forward and with_gradient
void cross_entropy_backward(const Args& a);
void cross_entropy_with_gradient(const Args& a);
}  // namespace cuda

}  // namespace rt
