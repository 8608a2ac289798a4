/* SPDX-License-Identifier: Apache-2.0 */
/*
 * <stdatomic.h> for the model checker: the core's own code, compiled as C++, works on relacy's
 * atomics. `_Atomic uint64_t` becomes a name in a namespace, which means the checker's type.
 *
 * To weaken one operation, set weakened_function and weakened_object to where it is and to what it
 * is given, as both are written in the core: its order becomes relaxed.
 */
#ifndef MODEL_STDATOMIC_H
#define MODEL_STDATOMIC_H

#include <relacy/relacy.hpp>
#undef assert
#undef malloc
#undef calloc
#undef realloc
#undef free
#undef new
#undef delete

#include <cstdint>
#include <cstring>

namespace model {
using uint32_t = rl::atomic<::uint32_t>;
using uint64_t = rl::atomic<::uint64_t>;

inline const char *weakened_function = "";
inline const char *weakened_object = "";

inline rl::memory_order order(rl::memory_order written, const char *function, const char *object)
{
    bool weakened = !strcmp(function, weakened_function) && !strcmp(object, weakened_object);
    return weakened ? rl::mo_relaxed : written;
}

/* A plain word that two threads may not touch at once. */
template <typename T> class plain {
    mutable rl::var<T> var;

public:
    plain() = default;
    plain(T value) { var(RL_INFO) = value; }
    plain(const plain &other) { *this = (T)other; }
    operator T() const { return var(RL_INFO); }
    plain &operator=(T value)
    {
        var(RL_INFO) = value;
        return *this;
    }
    plain &operator=(const plain &other) { return *this = (T)other; }
};
} // namespace model

#define _Atomic ::model::

#undef memory_order_relaxed
#undef memory_order_acquire
#undef memory_order_release
#undef memory_order_seq_cst
#define memory_order_relaxed rl::mo_relaxed
#define memory_order_acquire rl::mo_acquire
#define memory_order_release rl::mo_release
#define memory_order_seq_cst rl::mo_seq_cst

#define atomic_load_explicit(object, written) \
    (object)->load(::model::order(written, __func__, #object), RL_INFO)
#define atomic_store_explicit(object, value, written) \
    (object)->store(value, ::model::order(written, __func__, #object), RL_INFO)
#define atomic_signal_fence(written) (void)0 /* between a process and its own death: see lane.pml */

#endif
