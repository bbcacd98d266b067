"""The known model as a SavedModel."""

import tensorflow as tf

from tests.serving.clients import known


class _Module(tf.Module):
    def __init__(self):
        super().__init__()
        self.w, self.r, self.v = (tf.Variable(array) for array in (known.W, known.R, known.V))

    def one(self, frame, h, c):
        c = 0.5 * c + frame @ self.w + h @ self.r
        h = tf.tanh(c)
        return h @ self.v, h, c

    def step(self, frame, h, c):
        return dict(zip(("logits", "next_h", "next_c"), self.one(frame, h, c), strict=True))

    def chunk(self, sequence, lengths, h, c):
        times = tf.shape(sequence)[1]
        logits = tf.TensorArray(tf.float32, times)
        for time in tf.range(times):
            alive = (time < lengths)[:, None]
            values, next_h, next_c = self.one(sequence[:, time], h, c)
            h, c = tf.where(alive, next_h, h), tf.where(alive, next_c, c)
            logits = logits.write(time, tf.where(alive, values, float("nan")))
        logits = tf.transpose(logits.stack(), [1, 0, 2])
        finite = tf.math.is_finite(logits)
        best = tf.argmax(tf.where(finite, logits, 0.0), axis=-1)
        classes = tf.gather(tf.constant(known.LABELS.tolist()), best)
        classes = tf.where(tf.reduce_all(finite, -1), classes, "")
        return {"logits": logits, "classes": classes, "next_h": h, "next_c": c}

    def whole(self, sequence, lengths):
        zeros = tf.zeros([tf.shape(sequence)[0], known.UNITS])
        answer = self.chunk(sequence, lengths, zeros, zeros)
        answer["text"] = tf.strings.reduce_join(answer["classes"], -1)
        answer["h"], answer["c"] = answer.pop("next_h"), answer.pop("next_c")
        return answer


def save(folder):
    """Writes the version folder."""
    module = _Module()
    functions = {"step": module.step, "chunk": module.chunk, "serving_default": module.whole}
    endpoints = {}
    for name, function in functions.items():
        specs = {
            key: tf.TensorSpec(spec.shape, spec.dtype, key)
            for key, spec in known.SIGNATURES[name].inputs.items()
        }
        endpoints[name] = tf.function(function).get_concrete_function(**specs)
    tf.saved_model.save(module, str(folder), endpoints)
