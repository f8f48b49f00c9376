def fused_constant(lr, chunk):
    """copy"""
    lr[0] = f32(0.1)


def pack_transpose_f32_14(a, packed, m, k, step, leap, first, panels, each, groups, chunk):
    """A as panels of 14 rows, k by k, for the gemm tiles

    m rows, k columns; k side by side in memory, step elements from one row to the next.
    leap: elements between matrices; each: panels a chunk; groups: chunks a matrix."""
    b = idiv(chunk, groups)
    g = imod(chunk, groups)
    for p in range(g * each, min(g * each + each, panels)):
        rows = min(14, m - p * 14)
        transpose_f32(at(packed, (b * panels + p) * k * 14), 14, at(a, first + b * leap + p * 14 * step), step, rows, k)


def fused_matmul(dense1_weight, dense1_bias, logits, packed, chunk):
    """matmul add
    models/logistic_regression.py:12"""
    bp = local_f32(65536)
    acc = local_f32(448)
    copy_f32(bp, 32, dense1_weight, 10, 64, 10)
    for p in range(chunk * 2, min(chunk * 2 + 2, 5)):
        rows = min(14, 64 - p * 14)
        gemm_f32_14x32(at(packed, p * 896), bp, 32, 64, acc, 32, rows, 0)
        for i in range(rows):
            row = p * 14 + i
            for n in range(10):
                logits[row * 10 + n] = acc[i * 32 + n] + dense1_bias[n]


def fused_logsumexp_sum_argmax(logits, label, out, d_logits, chunk):
    """max isfinite where sub exp sum log add maximum minimum eq mul
    models/logistic_regression.py:18"""
    for i in range(64):
        minimum2 = min(max(label[i], i32(0)), i32(9))
        sum = f32(0.0)
        max2 = f32(-inf)
        for r0_2 in range(10):
            max2 = rmax(max2, logits[i * 10 + r0_2])
        where2 = select(abs(max2) < f32(inf), max2, f32(0.0))
        for r0 in range(10):
            sum = radd(sum, exp_f32(logits[i * 10 + r0] - where2))
        log_total = log_f32(sum) + where2
        for r in range(10):
            where = select(minimum2 == i32(r), f32(-0.015625), f32(0.0))
            mul = exp_f32(logits[i * 10 + r] - log_total) * f32(0.015625)
            d_logits[i * 10 + r] = where + mul
        chosen = f32(0.0)
        for r0_3 in range(10):
            where3 = select(minimum2 == i32(r0_3), logits[i * 10 + r0_3], f32(0.0))
            chosen = radd(chosen, where3)
        out[i] = log_total - chosen


def fused_logsumexp_sum_argmax_2(logits, label, out, chunk):
    """argmax eq cast
    models/logistic_regression.py:18"""
    for i in range(64):
        argmax = f32(-inf)
        argmax_s1 = i32(2147483647)
        for r0 in range(10):
            logits2 = logits[i * 10 + r0]
            wins = (logits2 > argmax) | ((logits2 != logits2) & (argmax == argmax)) | (((logits2 == argmax) | ((logits2 != logits2) & (argmax != argmax))) & (i32(r0) < argmax_s1))
            argmax = select(wins, logits2, argmax)
            argmax_s1 = select(wins, i32(r0), argmax_s1)
        out[i] = f32(argmax_s1 == label[i])


def fused_sum(cast, accuracy, chunk):
    """sum mul
    models/logistic_regression.py:18"""
    sum = f32(0.0)
    for r in range(64):
        sum = radd(sum, cast[r])
    accuracy[0] = sum * f32(0.015625)


def fused_sum_max_isfinite(sub, label, step, loss, fault, chunk):
    """sum mul lt ge or_ max isfinite where eq add
    models/logistic_regression.py:18"""
    sum = f32(0.0)
    max2 = False
    for r in range(64):
        sum = radd(sum, sub[r])
    for r2 in range(64):
        label2 = label[r2]
        max2 = max2 | ((label2 < i32(0)) | (label2 >= i32(10)))
    loss2 = sum * f32(0.015625)
    fault2 = select(max2, i32(1), select(abs(loss2) < f32(inf), i32(0), i32(-1)))
    step2 = step[0]
    step_new = select(fault2 == i32(0), i32(step2 + i32(1)), step2)
    loss[0] = loss2
    fault[0] = fault2
    step[0] = step_new


def pack_copy_f32_14(a, packed, m, k, step, leap, first, panels, each, groups, chunk):
    """A as panels of 14 rows, k by k, for the gemm tiles

    m rows, k columns; rows side by side in memory, step elements from one k to the next.
    leap: elements between matrices; each: panels a chunk; groups: chunks a matrix."""
    b = idiv(chunk, groups)
    g = imod(chunk, groups)
    for p in range(g * each, min(g * each + each, panels)):
        rows = min(14, m - p * 14)
        copy_f32(at(packed, (b * panels + p) * k * 14), 14, at(a, first + b * leap + p * 14), step, k, rows)


def fused_matmul2(fault, momentum_v_dense1_weight, d_logits, dense1_weight, packed, chunk):
    """eq mul matmul add where sub
    models/logistic_regression.py:18  models/logistic_regression.py:12
    models/logistic_regression.py:15"""
    bp = local_f32(65536)
    acc = local_f32(448)
    copy_f32(bp, 32, d_logits, 10, 64, 10)
    ok = fault[0] == i32(0)
    for p in range(chunk * 2, min(chunk * 2 + 2, 5)):
        rows = min(14, 64 - p * 14)
        gemm_f32_14x32(at(packed, p * 896), bp, 32, 64, acc, 32, rows, 0)
        for i in range(rows):
            row = p * 14 + i
            for n in range(10):
                momentum_v_dense1_weight2 = momentum_v_dense1_weight[row * 10 + n]
                dense1_weight2 = dense1_weight[row * 10 + n]
                add2 = momentum_v_dense1_weight2 * f32(0.9) + (acc[i * 32 + n] + dense1_weight2 * f32(0.0001))
                dense1_weight_new = select(ok, dense1_weight2 - add2 * f32(0.1), dense1_weight2)
                momentum_v_dense1_weight[row * 10 + n] = select(ok, add2, momentum_v_dense1_weight2)
                dense1_weight[row * 10 + n] = dense1_weight_new


def fused_sum2(fault, momentum_v_dense1_bias, d_logits, dense1_bias, chunk):
    """eq mul sum add where sub
    models/logistic_regression.py:18  models/logistic_regression.py:12
    models/logistic_regression.py:15"""
    d_dense1_bias = local_f32(10)
    total = local_f64(10)
    for j in range(10):
        total[j] = f64(0.0)
    for r in range(0, 64, 32):
        for j2 in range(10):
            d_dense1_bias[j2] = f32(0.0)
        for r2 in range(r, min(r + 32, 64)):
            for j3 in range(10):
                d_dense1_bias[j3] = radd(d_dense1_bias[j3], d_logits[r2 * 10 + j3])
        for j4 in range(10):
            total[j4] = total[j4] + f64(d_dense1_bias[j4])
    ok = fault[0] == i32(0)
    for j5 in range(10):
        momentum_v_dense1_bias2 = momentum_v_dense1_bias[j5]
        dense1_bias2 = dense1_bias[j5]
        add2 = momentum_v_dense1_bias2 * f32(0.9) + (f32(total[j5]) + dense1_bias2 * f32(0.0001))
        dense1_bias_new = select(ok, dense1_bias2 - add2 * f32(0.1), dense1_bias2)
        momentum_v_dense1_bias[j5] = select(ok, add2, momentum_v_dense1_bias2)
        dense1_bias[j5] = dense1_bias_new


def fused_max(label, fault, chunk):
    """lt ge or_ max where
    models/logistic_regression.py:18"""
    max2 = False
    for r in range(64):
        label2 = label[r]
        max2 = max2 | ((label2 < i32(0)) | (label2 >= i32(10)))
    fault[0] = select(max2, i32(1), i32(0))


def fused_logsumexp_sum_argmax_3(logits, label, out, chunk):
    """max isfinite where sub exp sum log add maximum minimum eq
    models/logistic_regression.py:18"""
    for i in range(64):
        sum = f32(0.0)
        max2 = f32(-inf)
        for r0_2 in range(10):
            max2 = rmax(max2, logits[i * 10 + r0_2])
        where = select(abs(max2) < f32(inf), max2, f32(0.0))
        for r0 in range(10):
            sum = radd(sum, exp_f32(logits[i * 10 + r0] - where))
        chosen = f32(0.0)
        log_total = log_f32(sum) + where
        minimum2 = min(max(label[i], i32(0)), i32(9))
        for r0_3 in range(10):
            where2 = select(minimum2 == i32(r0_3), logits[i * 10 + r0_3], f32(0.0))
            chosen = radd(chosen, where2)
        out[i] = log_total - chosen
