// Structures shared by host and kernels; `tuner/training/cuda/structures.py` repeats them.
//
// Sizes are padded as described in `memory.py`: a padding unit or output has no weights in or out.
#pragma once
#include "device.cuh"

enum Head { BERNOULLI, SOFTMAX, CTC };
enum Phase { TRAIN, VALIDATE, TEST, DONE };

// The parts of a visit, which are timed separately.
enum Part { READ, PROJECT, FORWARD, HEAD, BACKWARD, UPDATE, PARTS };

// What a variant lacks or has in addition, as bits of Trial::switches.
enum Switch {
  NO_INPUT_GATE = 1,
  NO_FORGET_GATE = 2,
  NO_OUTPUT_GATE = 4,
  COUPLED = 8,
  NO_INPUT_ACTIVATION = 16,
  NO_OUTPUT_ACTIVATION = 32,
  NO_PEEPHOLES = 64,
  GATE_RECURRENCE = 128,
};

// One split of the task, with its sequences concatenated.
struct Split {
  const float *inputs;       // [frames of all sequences, inputs]
  const float *rows;         // Targets of head BERNOULLI, [frames of all sequences, output_row].
  const int *indices;        // Classes or labels of the other heads.
  const int *starts;         // [count], first frame of each sequence.
  const int *lengths;        // [count], frames.
  const int *target_starts;  // [count], first target.
  const int *target_counts;  // [count], targets: what a score is divided by.
  int64 count;               // Number of sequences.
};

struct Problem {
  Split train, validation, test;
  const int *order;  // [max_epochs, train.count], sequences in the order of the visits.
  int inputs;        // Features per frame; in a row of inputs a 1 follows them, for the bias.
  int input_row;     // inputs + 1, padded.
  int outputs;
  int output_row;  // outputs, padded.
  int head;
  int directions;
  int max_epochs;
  int patience;
  int max_frames;  // Of the longest sequence.
  int max_states;  // Of CTC: 2 labels + 1.
};

// The progress of a trial. Only one thread of the trial writes it.
struct Control {
  double best;       // Validation score of the best epoch.
  int64 began;       // When this launch began, nanoseconds.
  int64 cycles[PARTS];  // Of each part so far, on the chief's multiprocessor.
  int64 marked;         // When the last part ended.
  int phase;         // What the next visit is for.
  int position;      // Index of the next sequence of the phase, in visiting order.
  int epoch;         // The current epoch; 0 measures the untrained network.
  int finished;      // Epochs with finite numbers, the untrained network included.
  int best_epoch;
  int diverged;
  int improved;      // Whether the weights are those of a new best epoch, to be kept.
  int visits;        // Number of visits that this launch may still make.
  int decoded;       // Number of characters on the best path of a sequence, for CTC.
  int padding;
};

struct Trial {
  const Problem *problem;
  Control *control;
  float *weights;     // [kernel, recurrent kernel, peepholes, output kernel], see Weights.
  float *velocities;  // Laid out as weights; so is best.
  float *best;        // Weights of the best epoch.
  float *output_transposed;  // Output kernel without biases, [output_row, directions units].
  // Shapes have D directions, T frames, H units and S = H or 4 H numbers per state; T counts steps
  // in reading order, except in the inputs and logits.
  float *inputs;        // [T, input_row]
  float *gates;         // Net inputs, then activations, then deltas, float4 (i f z o) [D, T, H].
  float *cells;         // [D, T + 1, H]; row t is the cell before step t.
  float *tanh_cells;    // h(c), [D, T, H].
  float *states;        // h, and i f o for the gate recurrence, [D, T + 1, S]; row t is before step t.
  float *hidden_grads;  // [D, T, H]
  float *logits;        // Outputs and then their gradients, [T, output_row].
  double *partials;     // One number per thread.
  double *losses;       // Of the visits of the current epoch, [train.count].
  double *scores;       // Of the sequences of the split that is measured.
  double *epochs;       // Training loss a frame, validation mean and sequence mean, [max_epochs + 1, 3].
  double *normalizers;  // Of CTC: log sum exp of every frame, [T].
  double *paths;        // Sums over beginnings and over endings of paths, [2, T, max_states].
  int *decoded;         // Best path, then its labels, [2, T].
  int *distances;       // Three diagonals of the edit distance's table, [3, labels + 1].
  int *classes;         // Largest output of every frame of the test set, or null.
  const uint32 *keys; // [max_epochs, 2], keys of the noise of each epoch.
  float rate;           // With the protocol's factor (1 - momentum).
  float momentum;
  float noise;
  int units;            // Units from this index on are padding.
  int padded;
  int switches;
  int max_frames;  // Copy of the problem's, for fast access.
  int padding;
};

#ifdef TRIAL_BYTES
static_assert(sizeof(Trial) == TRIAL_BYTES && sizeof(Problem) == PROBLEM_BYTES && sizeof(Control) == CONTROL_BYTES,
              "structures.py describes other structures");
#endif
