using CudaLora.Engine;
using CudaLora.Kernels.Emulator;
using CudaLora.Lora;

namespace CudaLora.Tests.Lora;

/// <summary>What was disposed says so, instead of answering as the base or being saved as nothing.</summary>
public class DisposalTests
{
    [Fact]
    public void ADisposedAdapterIsRefused()
    {
        using var folder = new TemporaryFolder();
        using var model = TrainerTests.TinyModel();
        var adapter = LoraAdapter.Create(model, TrainerTests.Config(0), new Generator(1), "anna");
        adapter.Save(folder.File("a"));
        var saved = File.ReadAllBytes(folder.File("a/adapter_model.safetensors"));
        adapter.Dispose();
        adapter.Dispose();

        foreach (var use in new Action[]
        {
            adapter.Activate, adapter.Merge, adapter.Unmerge, () => adapter.Save(folder.File("a")),
            () => adapter.Restore(folder.File("a")),
        })
        {
            var error = Assert.Throws<ObjectDisposedException>(use);
            Assert.Contains("anna", error.Message, StringComparison.Ordinal);
        }
        Assert.Null(model.ActiveAdapter);
        Assert.Equal(saved, File.ReadAllBytes(folder.File("a/adapter_model.safetensors")));
    }

    [Fact]
    public void ADisposedModelIsRefused()
    {
        using var folder = new TemporaryFolder();
        var model = TrainerTests.TinyModel();
        using var adapter = LoraAdapter.Create(model, TrainerTests.Config(0), new Generator(1));
        using var other = LoraAdapter.Create(model, TrainerTests.Config(0), new Generator(2), "other");
        model.Dispose();

        foreach (var use in new Action[]
        {
            () => model.Generate([1], new SamplingOptions { MaxNewTokens = 1 }), adapter.Activate, adapter.Merge,
            () => model.Save(folder.File("m")), () => model.Restore(folder.File("m")),
            () => LoraAdapter.Create(model, TrainerTests.Config(0), new Generator(1)),
        })
        {
            var error = Assert.Throws<ObjectDisposedException>(use);
            Assert.Contains("[causal_lm] must not be used after", error.Message, StringComparison.Ordinal);
        }
        // Its own values are still there.
        adapter.Save(folder.File("a"));
        Assert.True(File.Exists(folder.File("a/adapter_model.safetensors")));
    }

    [Fact]
    public void AdaptersAreUnmergedInReverseOrder()
    {
        using var model = TrainerTests.TinyModel();
        var config = TrainerTests.Config(0) with { InitLoraWeights = LoraInit.Random, UseDora = true };
        using var first = LoraAdapter.Create(model, config, new Generator(1), "first");
        using var second = LoraAdapter.Create(model, config, new Generator(2), "second");
        second.Deactivate();
        var plain = model.LogProbs([1], [2, 3]);
        first.Merge();
        second.Merge();

        var error = Assert.Throws<InvalidOperationException>(first.Unmerge);

        Assert.Contains("'second' was merged after 'first'", error.Message, StringComparison.Ordinal);
        second.Unmerge();
        first.Unmerge();
        // DoRA's weights are put back, not computed back.
        Assert.Equal(plain, model.LogProbs([1], [2, 3]));
    }

    [Fact]
    public void AModelThatDoesNotFitLeavesNothing()
    {
        var refused = 0;
        // The model takes about 140 KiB: at each size another part of it is the one that does not fit.
        for (var room = 16 << 10; room < 160 << 10; room += 16 << 10)
        {
            using var driver = new EmulatedDriver(new EmulatorOptions { Checks = false }, memoryBytes: room);
            using var device = new CudaDevice(driver);
            try
            {
                CausalLM.Load(TrainerTests.TinyModelFolder, new ModelPlacement { Device = device }).Dispose();
            }
            catch (DeviceMemoryException)
            {
                refused++;
            }
            Assert.Equal(0, device.Memory.InUse);
        }
        Assert.InRange(refused, 3, 8);
    }

    [Fact]
    public void AfterEveryKindOfWorkAllMemoryIsBack()
    {
        using var folder = new TemporaryFolder();
        // A device of its own: other tests use the CPU's memory at the same time.
        using var device = new CudaDevice(new EmulatedDriver(new EmulatorOptions { Checks = false }), ownsDriver: true);
        var before = device.Memory.InUse;
        using (var model = CausalLM.Load(TrainerTests.TinyModelFolder, ModelPlacement.On(device)))
        {
            var arguments = TrainerTests.Arguments(folder.Path) with { MaxSteps = 2 };
            using (var adapter = LoraAdapter.Create(model, TrainerTests.Config(0.1), new Generator(1)))
            {
                new Trainer(
                    arguments, new LoraFineTuning(adapter), new Orpo(), Pairs(), Pairs()).Run();
                adapter.Merge();
                model.Generate([1, 2], new SamplingOptions { MaxNewTokens = 3 });
                adapter.Unmerge();
                model.LogProbs([1], [2, 3]);
                Assert.Throws<TimeoutException>(
                    () => model.Generate([1], new SamplingOptions { MaxNewTokens = 3 }, _ => Throw()));
            }
            using var loaded = LoraAdapter.Load(model, folder.Path, "loaded");
            Assert.ThrowsAny<Exception>(() => CausalLM.Load(folder.Path, ModelPlacement.On(device)));
        }
        Assert.Equal(before, device.Memory.InUse);

        static void Throw() => throw new TimeoutException();
        static Batcher Pairs() => new(
            [.. TrainerTests.Examples(4).Select(e => new ResponseExample(e.Ids, e.Labels))],
            new BatcherOptions { BatchSize = 2, GroupSize = PreferenceData.GroupSize });
    }
}
