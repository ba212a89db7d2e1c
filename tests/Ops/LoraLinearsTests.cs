using CudaLora.Engine;

namespace CudaLora.Tests.Ops;

/// <summary>Several LoRA layers on one x, against the same layers one by one.</summary>
public partial class LoraLinearsTests
{
    [Theory, OnDevices]
    public void Gradient_MatchesDifferences(string device)
    {
        using var scope = OpCheck.On(device);
        var problem = new Problem(2, 9, [7, 4, 5], [2, 3, 1], DType.F32, true);
        GradientCheck.Run(
            () => Joined(problem.Shared()),
            [problem.X, .. problem.A, .. problem.B, .. problem.Weights, .. problem.Biases]);
    }

    [Theory, OnDevices]
    public void FrozenInputs_GetNoWork(string device)
    {
        using var scope = OpCheck.On(device);
        var problem = new Problem(2, 9, [7, 4], [2, 3], DType.F32, true);
        OpCheck.FrozenInputsGetNoWork(
            () => Joined(problem.Shared()), [problem.X, .. problem.A, .. problem.B, .. problem.Weights,
                .. problem.Biases]);
    }

    [Theory, OnDevices]
    public void AFrozenLayerAmongThem_ChangesNoOther(string device)
    {
        using var scope = OpCheck.On(device);
        var problem = new Problem(6, 9, [7, 4, 5], [2, 3, 1], DType.F32, true);
        Joined(problem.Shared()).Backward(problem.Seed);
        var all = problem.Gradients();
        (problem.A[1].RequiresGrad, problem.B[1].RequiresGrad) = (false, false);
        foreach (var t in problem.All)
            t.ReleaseGrad();
        Joined(problem.Shared()).Backward(problem.Seed);
        Assert.Null(problem.A[1].Grad);
        Assert.Null(problem.B[1].Grad);
        var some = problem.Gradients();
        foreach (var (name, values) in some)
            Assert.Equal(all[name], values);
        Assert.Equal(all.Count - 2, some.Count);
    }

    [Theory, OnDevices]
    public void ALayerThatNoLossReaches_AddsNothing(string device)
    {
        using var scope = OpCheck.On(device);
        var problem = new Problem(6, 9, [7, 4, 5], [2, 3, 1], DType.F32, false);
        var seed = GradientCheck.Leaf(9, Shape.Of(6, 5), requiresGrad: false);
        problem.Shared()[2].Backward(seed);
        var shared = problem.Gradients();
        foreach (var t in problem.All)
            t.ReleaseGrad();
        problem.Apart()[2].Backward(seed);
        foreach (var (name, values) in problem.Gradients())
            Near(values, shared[name], 1e-5, name);
        // S is one: the others' A get zeros.
        Assert.All(shared["a0"].Concat(shared["a1"]), value => Assert.Equal(0, value));
    }

    // dX is a product with W0, and comes after every layer's own backward.
    [Theory, OnDevices]
    public void WeightsLetGoOfAfterForward_StayUntilBackward(string device)
    {
        using var scope = OpCheck.On(device);
        var problem = new Problem(6, 9, [7, 4, 5], [2, 3, 1], DType.F32, false);
        Joined(problem.Shared()).Backward(problem.Seed);
        var expected = problem.X.Grad!.ToArray();
        problem.X.ReleaseGrad();
        var y = Joined(problem.Shared());
        foreach (var weight in problem.Weights)
            weight.Dispose();
        y.Backward(problem.Seed);
        Assert.Equal(expected, problem.X.Grad!.ToArray());
    }

    [Theory, OnDevices]
    public void GradientsAddUp(string device)
    {
        using var scope = OpCheck.On(device);
        var problem = new Problem(6, 9, [7, 4], [2, 3], DType.F32, true);
        OpCheck.SecondUseAccumulates(() => Joined(problem.Shared()), [problem.X, .. problem.A, .. problem.B]);
    }

    public static TheoryData<LoraStrategy, int, int, int[], int[], bool> Bf16Cases()
    {
        var data = new TheoryData<LoraStrategy, int, int, int[], int[], bool>();
        foreach (var strategy in Enum.GetValues<LoraStrategy>().Where(strategy => strategy != LoraStrategy.Auto))
        {
            data.Add(strategy, 40, 64, [64, 24, 24], [4, 4, 4], true);
            data.Add(strategy, 40, 64, [64, 24, 24], [16, 8, 16], false);
            data.Add(strategy, 33, 72, [136, 136], [5, 9], true);
            data.Add(strategy, 17, 27, [13, 9, 40], [3, 1, 2], true);
            // More than a pad of the block matrix holds.
            data.Add(strategy, 20, 64, [40, 48], [40, 40], true);
        }
        return data;
    }

    /// <summary>By every strategy, with W0 in its block matrix and without: values and gradients of the CPU's layers.
    /// </summary>
    [Theory]
    [MemberData(nameof(Bf16Cases))]
    public void Bf16_IsThatOfSeparateLayers(
        LoraStrategy strategy, int rows, int inputs, int[] outputs, int[] ranks, bool withBias)
    {
        Dictionary<string, float[]> expected, apart;
        using (OpCheck.On("cpu"))
        {
            expected = new Problem(rows, inputs, outputs, ranks, DType.F32, false, withBias).Run(shared: false);
        }
        foreach (var device in TestDevice.Names.Where(name => name != "cpu"))
        {
            using var scope = OpCheck.On(device);
            var cuda = (CudaDevice)Device.Default;
            cuda.LoraStrategy = strategy;
            try
            {
                var problem = new Problem(rows, inputs, outputs, ranks, DType.BF16, false, withBias);
                var shared = problem.Run(shared: true);
                apart = problem.Run(shared: false);
                foreach (var (name, values) in expected)
                {
                    // Activations, S and dS keep 8 bits: 2^-9 of the largest terms each, a few of them in a sum.
                    Near(values, shared[name], 1.0 / 64, name);
                    Near(values, apart[name], 1.0 / 64, name);
                }
                // What is not a large product sums the same values in the same order.
                foreach (var name in expected.Keys.Where(name => name[0] == 'b' && name != "bias"))
                    Assert.Equal(apart[name], shared[name]);
                foreach (var weight in problem.Weights)
                    weight.MakeAdapterRoom();
                Assert.All(problem.Weights, weight => Assert.Equal(inputs % 8 == 0, weight.HasAdapterRoom));
                // The same products on the same values in another place.
                Assert.Equal(shared, problem.Run(shared: true));
                Assert.Equal(apart, problem.Run(shared: false));
            }
            finally
            {
                cuda.LoraStrategy = LoraStrategy.Auto;
            }
        }
    }

    [Theory, OnDevices]
    public void FourBitLayers_AreThoseOfTheirValues(string device)
    {
        using var scope = OpCheck.On(device);
        using QuantizedTensor wa = FourBits(6, 48), wb = FourBits(10, 48);
        var (x, seed) = (OpCheck.Leaf(1, 3, 48), GradientCheck.Leaf(9, Shape.Of(48), requiresGrad: false));
        Tensor[] a = [OpCheck.Leaf(4, 2, 48), OpCheck.Leaf(5, 3, 48)];
        Tensor[] b = [OpCheck.Leaf(6, 6, 2), OpCheck.Leaf(7, 10, 3)];
        var y = x.LoraLinears(new(null, wa, null, a[0], b[0], 0.5f), new(null, wb, null, a[1], b[1], 2));
        Joined(y).Backward(seed);
        Tensor[] all = [x, .. a, .. b];
        float[][] gradients = [.. all.Select(t => t.Grad!.ToArray())];
        foreach (var t in all)
            t.ReleaseGrad();
        Tensor[] apart = [x.LoraLinear(wa, null, a[0], b[0], 0.5f), x.LoraLinear(wb, null, a[1], b[1], 2)];
        Joined(apart).Backward(seed);
        Near(Joined(apart).ToArray(), Joined(y).ToArray(), 1e-5, "y");
        foreach (var (t, gradient) in all.Zip(gradients))
            Near(t.Grad!.ToArray(), gradient, 1e-5, "gradient");
    }

    public static TheoryData<LoraStrategy, int, int> FourBitCases() => new(
        from strategy in Enum.GetValues<LoraStrategy>()
        from inputs in new[] { 64, 48 } // In whole units of 32 codes, or not.
        from rank in new[] { 8, 3 }
        select (strategy, inputs, rank));

    /// <summary>In BF16 by every strategy: values and gradients of the same layers one by one.</summary>
    [Theory]
    [MemberData(nameof(FourBitCases))]
    public void FourBitLayersInBf16_AreThoseOneByOne(LoraStrategy strategy, int inputs, int rank)
    {
        foreach (var device in TestDevice.Names.Where(name => name != "cpu"))
        {
            using var scope = OpCheck.On(device);
            var cuda = (CudaDevice)Device.Default;
            cuda.LoraStrategy = strategy;
            try
            {
                using QuantizedTensor wa = FourBits(72, inputs), wb = FourBits(40, inputs);
                var x = OpCheck.Bf16Leaf(1, 20, inputs);
                Tensor[] a = [OpCheck.Leaf(4, rank, inputs), OpCheck.Leaf(5, rank + 2, inputs)];
                Tensor[] b = [OpCheck.Leaf(6, 72, rank), OpCheck.Leaf(7, 40, rank + 2)];
                var seed = OpCheck.Bf16Leaf(9, 20 * 112);
                var shared = Run(() => x.LoraLinears(
                    new(null, wa, null, a[0], b[0], 0.5f), new(null, wb, null, a[1], b[1], 2)));
                var apart = Run(
                    () => [x.LoraLinear(wa, null, a[0], b[0], 0.5f), x.LoraLinear(wb, null, a[1], b[1], 2)]);
                // y and dX are rounded to BF16 in other places on their way, a few times by 2^-9 of the largest terms;
                // the rest sums the same values in the same order.
                foreach (var (name, values) in apart)
                    Near(values, shared[name], name[0] is 'x' or 'y' ? 1.0 / 64 : 0, name);

                Dictionary<string, float[]> Run(Func<Tensor[]> layers)
                {
                    Tensor[] all = [x, .. a, .. b];
                    foreach (var t in all)
                        t.ReleaseGrad();
                    var y = layers();
                    Joined(y).Backward(seed);
                    return new()
                    {
                        ["y0"] = y[0].ToArray(),
                        ["y1"] = y[1].ToArray(),
                        ["x"] = x.Grad!.ToArray(),
                        ["a0"] = a[0].Grad!.ToArray(),
                        ["a1"] = a[1].Grad!.ToArray(),
                        ["b0"] = b[0].Grad!.ToArray(),
                        ["b1"] = b[1].Grad!.ToArray(),
                    };
                }
            }
            finally
            {
                cuda.LoraStrategy = LoraStrategy.Auto;
            }
        }
    }

    [Fact]
    public void TooManyLayersAreRefused()
    {
        using var scope = TensorScope.Begin();
        var one = new LoraProjection(
            OpCheck.Leaf(1, 4, 5), null, null, OpCheck.Leaf(2, 2, 5), OpCheck.Leaf(3, 4, 2), 1);
        OpCheck.Refused(
            "[lora_linears] 1 to 3 layers expected, but got 4", () => OpCheck.Leaf(4, 3, 5)
                .LoraLinears(one, one, one, one));
    }

    [Theory, OnDevices]
    public void AdaptersOfAnotherTypeAreRefused(string device)
    {
        using var scope = OpCheck.On(device);
        using var half = Tensor.Owned(Shape.Of(2, 5), DType.BF16);
        Tensor x = OpCheck.Leaf(1, 3, 5), w = OpCheck.Leaf(2, 4, 5), b = OpCheck.Leaf(3, 4, 2);
        const string Message = "[lora_linear] A and B must be F32, but got A BF16, B F32";
        OpCheck.Refused(Message, () => x.LoraLinear(w, null, half, b, 1));
        OpCheck.Refused(Message, () => x.LoraLinears(new LoraProjection(w, null, null, half, b, 1)));
    }

    private static QuantizedTensor FourBits(int outputs, int inputs)
    {
        var device = Device.Default;
        using var host = Device.Use(Device.Cpu);
        var weight = QuantizedLinearTests.Weight(outputs, inputs);
        if (device.Kind == DeviceKind.Cpu)
            return weight;
        var there = weight.To(device);
        weight.Dispose();
        return there;
    }

    // One vector of all outputs.
    private static Tensor Joined(Tensor[] outputs) => outputs
        .Select(y => y.Reshape(Shape.Of((int)y.Count)))
        .Aggregate((left, right) => TensorOps.Concat(0, left, right));

    private static void Near(float[] expected, float[] actual, double tolerance, string name)
    {
        var scale = 1e-3 + expected.Max(Math.Abs);
        var worst = expected.Zip(actual).Max(pair => Math.Abs(pair.First - pair.Second));
        Assert.True(worst <= tolerance * scale, $"{name}: {worst} of {scale}, allowed {tolerance}");
    }
}
