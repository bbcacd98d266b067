// What the host says to the kernels and reads from them; `tuner/training/cuda/memory.py` has the same.
//
// Sizes are padded as `memory.py` says: a padded unit or output has no weights in or out.
#pragma once
#include "device.cuh"

enum Head { BERNOULLI, SOFTMAX, CTC };
enum Phase { TRAIN, VALIDATE, TEST, DONE };

// What the time of a visit goes into.
enum Part { READ, PROJECT, FORWARD, HEAD, BACKWARD, UPDATE, PARTS };

// What a variant lacks or has besides, as bits of Trial::switches.
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

// One split of the task, sequences one behind the other.
struct Split {
  const float *inputs;       // [frames of all sequences, inputs]
  const float *rows;         // Targets of head BERNOULLI, [frames of all sequences, output_row].
  const int *indices;        // Classes or labels of the other heads.
  const int *starts;         // [count], first frame of each sequence.
  const int *lengths;        // [count], frames.
  const int *target_starts;  // [count], first target.
  const int *target_counts;  // [count], targets: what a score is divided by.
  int64 count;               // Sequences.
};

struct Problem {
  Split train, validation, test;
  const int *order;  // [max_epochs, train.count], sequences in the order of the visits.
  int inputs;        // Features a frame; a row of inputs has a 1 behind them, for the bias.
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

// How far a trial has come. Only one thread of the trial writes it.
struct Control {
  double best;       // Validation score of the best epoch.
  int64 began;       // When this launch began, nanoseconds.
  int64 cycles[PARTS];  // Of the chief's multiprocessor, so far.
  int64 marked;         // When the last part ended.
  int phase;         // What the next visit is for.
  int position;      // Which sequence of the phase comes next, in the order of the visits.
  int epoch;         // The epoch underway; 0 measures the untrained network.
  int finished;      // Epochs with finite numbers, the untrained network included.
  int best_epoch;
  int diverged;
  int improved;      // Whether the weights are those of a new best epoch, to be kept.
  int visits;        // How many more this launch may make.
  int decoded;       // Characters on the best path of a sequence, for CTC.
  int padding;
};

struct Trial {
  const Problem *problem;
  Control *control;
  float *weights;     // [kernel, recurrent kernel, peepholes, output kernel], see Weights.
  float *velocities;  // As weights; so is best.
  float *best;        // Weights of the best epoch.
  float *output_transposed;  // Output kernel without biases, [output_row, directions units].
  // Shapes have D directions, T frames, H units and S = H or 4 H numbers a state; all directions but
  // that of the inputs and logits count steps in the order of reading.
  float *inputs;        // [T, input_row]
  float *gates;         // Net inputs, then activations, then deltas, float4 (i f z o) [D, T, H].
  float *cells;         // [D, T + 1, H]; row t is the cell before step t.
  float *tanh_cells;    // h(c), [D, T, H].
  float *states;        // h, and i f o for the gate recurrence, [D, T + 1, S]; row t is before step t.
  float *hidden_grads;  // [D, T, H]
  float *logits;        // Outputs and then their gradients, [T, output_row].
  double *partials;     // One number a thread.
  double *losses;       // Of the visits of the epoch underway, [train.count].
  double *scores;       // Of the sequences of the split that is measured.
  double *epochs;       // Training loss a frame, validation mean and sequence mean, [max_epochs + 1, 3].
  double *normalizers;  // Of CTC: log sum exp of every frame, [T].
  double *paths;        // Sums over beginnings and over endings of paths, [2, T, max_states].
  int *decoded;         // Best path, then its labels, [2, T].
  int *distances;       // Three diagonals of the edit distance's table, [3, labels + 1].
  int *classes;         // Largest output of every frame of the test set, or null.
  const uint32 *keys; // [max_epochs, 2], which name the noise of each epoch.
  float rate;           // With the protocol's factor (1 - momentum).
  float momentum;
  float noise;
  int units;            // Padded units are those from here on.
  int padded;
  int switches;
  int max_frames;  // As the problem's, where it is at hand.
  int padding;
};

#ifdef TRIAL_BYTES
static_assert(sizeof(Trial) == TRIAL_BYTES && sizeof(Problem) == PROBLEM_BYTES && sizeof(Control) == CONTROL_BYTES,
              "memory.py describes other structures");
#endif
