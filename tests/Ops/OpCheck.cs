using CudaLora.Engine;

namespace CudaLora.Tests.Ops;

/// <summary>Checks that every op's tests share.</summary>
internal static class OpCheck
{
    /// <summary>The device a test runs on, and a scope, until disposed: see <see cref="OnDevicesAttribute"/>.</summary>
    public static IDisposable On(string device) => TestDevice.Use(device);

    /// <summary>A leaf rounded to BF16, on a device that computes on it.</summary>
    public static Tensor Bf16Leaf(int seed, params ReadOnlySpan<int> dims)
    {
        var values = GradientCheck.Values(seed, Shape.Of(dims));
        var leaf = Tensor.Zeros(Shape.Of(dims), DType.BF16);
        leaf.CopyFrom(Array.ConvertAll(values, value => (ushort)(BitConverter.SingleToUInt32Bits(value) >> 16)));
        leaf.RequiresGrad = true;
        return leaf;
    }

    /// <summary>The nearest BF16 value, ties to even.</summary>
    public static float ToBf16(float value)
    {
        var bits = BitConverter.SingleToUInt32Bits(value);
        return BitConverter.UInt32BitsToSingle((bits + 0x7FFF + (bits >> 16 & 1)) & 0xFFFF0000);
    }

    /// <summary>A frozen or trainable leaf of normal values.</summary>
    public static Tensor Leaf(int seed, params ReadOnlySpan<int> dims) => GradientCheck.Leaf(seed, Shape.Of(dims));

    /// <summary>Token ids or labels.</summary>
    public static Tensor Ids(params ReadOnlySpan<int> ids) => Tensor.From(ids, Shape.Of(ids.Length));

    /// <summary>Every element equals the double-precision value to <paramref name="tolerance"/>.</summary>
    public static void Values(Tensor y, Shape shape, Func<int, double> expected, double tolerance = 1e-5)
    {
        Assert.Equal(shape, y.Shape);
        var values = y.ToArray();
        for (var i = 0; i < values.Length; i++)
            Assert.Equal(expected(i), values[i], tolerance);
    }

    /// <summary>The call is refused with exactly this message.</summary>
    public static void Refused(string message, Action call)
    {
        using var scope = TensorScope.Begin();
        Assert.Equal(message, Assert.ThrowsAny<ArgumentException>(call).Message);
    }

    /// <summary>
    /// Freezes each input in turn: it gets no gradient, the others get the same as before. With all frozen, no node is
    /// recorded at all.
    /// </summary>
    public static void FrozenInputsGetNoWork(Func<Tensor> f, params Tensor[] inputs)
    {
        var all = Gradients(f, inputs);
        foreach (var frozen in inputs)
        {
            if (inputs.Length > 1)
            {
                frozen.RequiresGrad = false;
                frozen.ReleaseGrad();
                var some = Gradients(f, inputs);
                for (var i = 0; i < inputs.Length; i++)
                    Assert.Equal(inputs[i] == frozen ? null : all[i], some[i]);
                frozen.RequiresGrad = true;
            }
        }
        foreach (var input in inputs)
            input.RequiresGrad = false;
        using var scope = TensorScope.Begin();
        var y = f();
        Assert.Null(y.Producer);
        Assert.False(y.RequiresGrad);
    }

    /// <summary>Two uses of an op add their gradients: the second backward accumulates.</summary>
    public static void SecondUseAccumulates(Func<Tensor> f, params Tensor[] inputs)
    {
        var once = Gradients(f, inputs);
        foreach (var input in inputs)
            input.ReleaseGrad();
        var twice = Gradients(() => f().Add(f()), inputs);
        for (var i = 0; i < inputs.Length; i++)
        {
            for (var k = 0; k < once[i]!.Length; k++)
                Assert.Equal(2 * once[i]![k], twice[i]![k], 1e-4f);
        }
    }

    private static float[]?[] Gradients(Func<Tensor> f, Tensor[] inputs)
    {
        using var scope = TensorScope.Begin();
        foreach (var input in inputs)
            input.ZeroGrad();
        var y = f();
        y.Backward(GradientCheck.Leaf(99, y.Shape, requiresGrad: false));
        return Array.ConvertAll(inputs, i => i.RequiresGrad ? i.Grad?.ToArray() : null);
    }
}
